//! Makes changes and takes them back.

use std::io;
use std::process::{Command, Stdio};

use super::change::Change;
use super::finding::Verdict;
use super::record::Record;
use super::table::Fixing;
use super::tree::Tree;
use super::{Examined, Machine};
use crate::check_name::CheckName;
use crate::failure::Failure;
use crate::request::Doctor;

/// Where commands of the system are; the caller's PATH does not count.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What came of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    /// The check that it is for.
    pub(super) check: String,
    /// The command that does the same.
    pub(super) command: String,
    /// Why it did not work.
    pub(super) failure: Option<String>,
    /// Whether it holds after a boot.
    pub(super) lasts: bool,
}

/// Makes the changes that the findings want and that may be made.
pub(super) fn fix(
    asked: &Doctor,
    machine: &Machine,
    examined: &[Examined],
) -> Result<Vec<Done>, Failure> {
    let mut record = Record::open(&machine.tree)?;
    let mut all = Vec::new();
    for one in examined.iter().filter(|one| may_fix(asked, one)) {
        for change in &one.finding.changes {
            record.note(one.check.name, change)?;
            let made = make(&machine.tree, change, asked.root.is_none());
            if made.is_err() {
                record.forget(change)?;
            }
            all.push(Done {
                check: one.check.name.to_string(),
                command: change.command(),
                failure: made.err().map(|error| error.to_string()),
                lasts: lasts(change),
            });
        }
    }
    record.make_last()?;
    Ok(all)
}

fn may_fix(asked: &Doctor, one: &Examined) -> bool {
    let is_allowed = match one.check.fixing {
        Fixing::Never => false,
        Fixing::Named => asked.fixes_all || asked.only.contains(&one.check.name),
        Fixing::Always => true,
    };
    is_allowed && one.silenced.is_none() && one.finding.verdict >= Verdict::Note
}

fn lasts(change: &Change) -> bool {
    match change {
        Change::Write { .. } => true,
        Change::Run { lasts, .. } => *lasts,
    }
}

/// Takes changes back, the last one first.
pub(super) fn undo(
    asked: &Doctor,
    tree: &Tree,
    checks: &[CheckName],
) -> Result<Vec<Done>, Failure> {
    let mut record = Record::open(tree)?;
    let mut all = Vec::new();
    let entries = record.entries.clone();
    for entry in entries.iter().rev().filter(|entry| entry.is_of(checks)) {
        let taken_back = take_back(tree, &entry.change, asked.root.is_none());
        if taken_back.is_ok() {
            record.forget(&entry.change)?;
        }
        all.push(Done {
            check: entry.check.clone(),
            command: entry.change.undo_command(),
            failure: taken_back.err().map(|error| error.to_string()),
            lasts: true,
        });
    }
    record.make_last()?;
    Ok(all)
}

fn make(tree: &Tree, change: &Change, is_live: bool) -> io::Result<()> {
    match change {
        Change::Write { path, new, .. } => write(tree, path, new),
        Change::Run { command, .. } => run(command, is_live),
    }
}

fn take_back(tree: &Tree, change: &Change, is_live: bool) -> io::Result<()> {
    match change {
        Change::Write { path, old, new } => match tree.choice(path) {
            Some(now) if now == *new => write(tree, path, old),
            // The old value is there already, or the file is gone: nothing is left to take back.
            Some(now) if now == *old => Ok(()),
            None => Ok(()),
            Some(now) => Err(io::Error::other(format!(
                "{path} is '{now}' now, which doctor did not write: left as it is"
            ))),
        },
        Change::Run { undo, .. } => run(undo, is_live),
    }
}

/// Writes, and looks whether it is in force: the kernel may take less than it was given.
fn write(tree: &Tree, path: &str, value: &str) -> io::Result<()> {
    tree.write(path, value)?;
    match tree.choice(path) {
        Some(now) if now == value => Ok(()),
        now => Err(io::Error::other(format!(
            "{path} is '{}' after '{value}' was written",
            now.unwrap_or_default()
        ))),
    }
}

fn run(words: &[String], is_live: bool) -> io::Result<()> {
    if !is_live {
        return Err(io::Error::other("commands are not run below --root"));
    }
    let [program, arguments @ ..] = words else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let ended = Command::new(program)
        .args(arguments)
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.trim().lines().last().unwrap_or_default().to_owned();
    Err(io::Error::other(format!("{}: {said}", ended.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_has_changed_since_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::below(dir.path());
        tree.replace("/sys/a", "meddled").unwrap();
        let change = Change::write("/sys/a", "old", "new");
        let refused = take_back(&tree, &change, false).unwrap_err();
        assert!(refused.to_string().contains("'meddled' now"), "{refused}");
        tree.replace("/sys/a", "new").unwrap();
        take_back(&tree, &change, false).unwrap();
        assert_eq!(tree.text("/sys/a").as_deref(), Some("old"));
        take_back(&tree, &change, false).unwrap();
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        run(&words(&["true"]), true).unwrap();
        let failed = run(
            &words(&["sh", "-c", "echo first; echo why >&2; exit 3"]),
            true,
        );
        let text = failed.unwrap_err().to_string();
        assert!(
            text.contains("exit status: 3") && text.ends_with(": why"),
            "{text}"
        );
        assert!(run(&words(&["true"]), false).is_err());
    }
}
