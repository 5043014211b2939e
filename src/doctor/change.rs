//! One thing that `--fix` changes and `--undo` takes back, as data.

use serde::{Deserialize, Serialize};

/// How many characters of a word need no quotes in a shell.
const BARE: &str = "/._-=+:,@%";

/// A change of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Change {
    /// Another value in a file of `/proc/sys` or `/sys`.
    Write {
        /// The file.
        path: String,
        /// What is in force now.
        old: String,
        /// What shall be.
        new: String,
    },
    /// A command of the system's.
    Run {
        /// The command.
        command: Vec<String>,
        /// The command that takes it back.
        undo: Vec<String>,
        /// Whether it holds after the next boot as well.
        lasts: bool,
    },
}

impl Change {
    /// Another value in a file.
    pub(super) fn write(path: &str, old: impl Into<String>, new: &str) -> Self {
        Self::Write {
            path: path.to_owned(),
            old: old.into(),
            new: new.to_owned(),
        }
    }

    /// A command and the one that takes it back.
    pub(super) fn run(command: &[&str], undo: &[&str], lasts: bool) -> Self {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self::Run {
            command: owned(command),
            undo: owned(undo),
            lasts,
        }
    }

    /// The command with which an administrator does the same by hand.
    pub(super) fn command(&self) -> String {
        match self {
            Self::Write { path, new, .. } => written(path, new),
            Self::Run { command, .. } => in_shell(command),
        }
    }

    /// The command that takes it back.
    pub(super) fn undo_command(&self) -> String {
        match self {
            Self::Write { path, old, .. } => written(path, old),
            Self::Run { undo, .. } => in_shell(undo),
        }
    }

    /// Whether it is the same thing that is changed, whatever the values.
    pub(super) fn concerns_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Write { path, .. }, Self::Write { path: others, .. }) => path == others,
            (one, other) => one == other,
        }
    }
}

fn written(path: &str, value: &str) -> String {
    match sysctl(path) {
        Some(name) => in_shell(&["sysctl", "-w", &format!("{name}={value}")]),
        None => format!("echo {} >{path}", quoted(value)),
    }
}

/// The name of a file of `/proc/sys` for sysctl(8).
pub(super) fn sysctl(path: &str) -> Option<String> {
    path.strip_prefix("/proc/sys/")
        .map(|name| name.replace('/', "."))
}

fn in_shell(words: &[impl AsRef<str>]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word.as_ref())).collect();
    words.join(" ")
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || BARE.contains(c);
    if !word.is_empty() && word.chars().all(is_bare) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_as_the_command_for_a_shell() {
        let change = Change::write("/proc/sys/kernel/core_pattern", "|/bin/x %p", "core");
        assert_eq!(change.command(), "sysctl -w kernel.core_pattern=core");
        assert_eq!(
            change.undo_command(),
            "sysctl -w 'kernel.core_pattern=|/bin/x %p'"
        );
        let change = Change::write("/sys/a/b", "it's", "off");
        assert_eq!(change.command(), "echo off >/sys/a/b");
        assert_eq!(change.undo_command(), r"echo 'it'\''s' >/sys/a/b");
        let change = Change::run(&["swapoff", "/a b"], &["swapon", "/a b"], false);
        assert_eq!(change.command(), "swapoff '/a b'");
    }
}
