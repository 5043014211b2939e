//! What kept a program's process from becoming the program: found by init, which sees what it saw,
//! and put into words here, with the rule or the option that would help. Pure.

mod words;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::beginning;

pub(crate) use words::in_words;

/// Why there was never a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Obstacle {
    /// Until its end, the process waited to open this file.
    Opening(Stream),
    /// execve(2) failed.
    Execution {
        /// With this errno.
        errno: i32,
        /// What lies where the program should be.
        found: Found,
    },
}

/// The error of execve(2), or 0.
pub(crate) fn errno_of(obstacle: &Obstacle) -> i32 {
    match obstacle {
        Obstacle::Opening(_) => 0,
        Obstacle::Execution { errno, .. } => *errno,
    }
}

/// A redirection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stream {
    /// Standard input.
    Input,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// What lies at a path of the sandbox, as the box's user sees it. All paths are those inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Found {
    /// Nothing that explains the failure.
    Unclear,
    /// A part of the path does not exist.
    Missing {
        /// The path, or that to which a symbolic link leads.
        path: Text,
        /// Its beginning, up to the part that does not exist.
        missing: Text,
        /// The symbolic link that led there, and what it says.
        link: Option<(Text, Text)>,
    },
    /// The box's user may not look into this directory.
    Closed(Text),
    /// This part of the path is no directory.
    NoDirectory(Text),
    /// The path is that of a directory.
    Directory(Text),
    /// It is a FIFO, a socket or a device.
    NoFile(Text),
    /// The mode of the file does not let the box's user execute it.
    Mode(Text, u32),
    /// Nothing can be executed from the file system that it lies on.
    NoExecMount(Text),
    /// It needs another program, which cannot be had.
    Helper {
        /// The program.
        program: Text,
        /// What it names.
        helper: Text,
        /// How.
        kind: Helper,
        /// What lies there.
        is_missing: bool,
    },
    /// The kernel does not know how to execute it.
    Format(Text, Format),
}

/// The program that the kernel starts in place of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Helper {
    /// The interpreter that the first line of a script names.
    Interpreter,
    /// The loader of shared libraries that an ELF file names.
    Loader,
}

/// A file that is no program for this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Format {
    /// It has no bytes.
    Empty,
    /// It is an ELF file for another machine, by its number (elf(5), e_machine).
    Machine(u16),
    /// It is an ELF file, but none that can be executed, such as a library or an object file.
    NoExecutable,
    /// It is neither an ELF file nor a script.
    Unknown,
}

/// The longest text that travels from init to the keeper.
const LONGEST: usize = 240;

/// A path in words, of which a part stands for one that is too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Text(String);

impl Text {
    /// The path as text, with its end left out if it is too long.
    pub(crate) fn of(path: &Path) -> Self {
        let mut text = path.to_string_lossy().into_owned();
        if text.len() > LONGEST {
            text.truncate(beginning(&text, LONGEST - '…'.len_utf8()).len());
            text.push('…');
        }
        Self(text)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(&self.0)
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{}'", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_too_long_is_cut_between_two_characters() {
        let short = Text::of(Path::new("/box/a"));
        assert_eq!(short.to_string(), "'/box/a'");
        for before in ["", "a", "ab"] {
            let long = format!("{before}{}", "ä".repeat(LONGEST));
            let Text(cut) = Text::of(Path::new(&long));
            assert!(cut.len() <= LONGEST && cut.ends_with('…'), "{cut}");
            assert!(long.starts_with(cut.trim_end_matches('…')), "{cut}");
        }
    }
}
