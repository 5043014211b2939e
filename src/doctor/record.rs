//! What `--fix` has changed and `--undo` has not yet taken back, and the files that make it hold
//! after a boot.

use std::fmt::Write;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};

use super::change::{Change, sysctl};
use super::tree::Tree;
use crate::check_name::CheckName;
use crate::failure::Failure;
use crate::sys::file::{IfLocked, lock_exclusively};

const DIRECTORY: &str = "/var/lib/isolate";
const RECORD: &str = "/var/lib/isolate/doctor.json";
/// sysctl.d(5) and tmpfiles.d(5); the later name wins among the first.
const SYSCTLS: &str = "/etc/sysctl.d/99-isolate-run-doctor.conf";
const OTHERS: &str = "/etc/tmpfiles.d/isolate-run-doctor.conf";
const HEAD: &str =
    "# Made by: isolate-run doctor --fix. To take it back: isolate-run doctor --undo\n";

/// One change, and the check that wanted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The name of the check.
    pub(super) check: String,
    /// The change.
    pub(super) change: Change,
}

impl Entry {
    /// Whether one of these checks wanted it.
    pub(super) fn is_of(&self, checks: &[CheckName]) -> bool {
        checks.iter().any(|check| check.name() == self.check)
    }
}

/// All of them, in the order in which they were made. Nobody else has the record meanwhile.
#[derive(Debug)]
pub(super) struct Record<'t> {
    tree: &'t Tree,
    /// The entries.
    pub(super) entries: Vec<Entry>,
    _lock: File,
}

impl<'t> Record<'t> {
    /// Reads the record, after whoever else has it.
    pub(super) fn open(tree: &'t Tree) -> Result<Self, Failure> {
        let what = format!("cannot keep the record of changes in {DIRECTORY}");
        let directory = tree.path(DIRECTORY);
        let lock = std::fs::create_dir_all(&directory).and_then(|()| File::open(&directory));
        let lock = lock.map_err(Failure::at(&what))?;
        lock_exclusively(lock.as_fd(), IfLocked::Wait).map_err(Failure::at(&what))?;
        let entries = match tree.read(RECORD) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(Failure::at(&format!("{RECORD} is no record of changes")))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Failure::at(&format!("cannot read {RECORD}"))(error)),
        };
        Ok(Self {
            tree,
            entries,
            _lock: lock,
        })
    }

    /// Notes a change that is about to be made. What was in force before the first one counts.
    pub(super) fn note(&mut self, check: CheckName, change: &Change) -> Result<(), Failure> {
        let mut known = self.entries.iter_mut();
        match known.find(|entry| entry.change.concerns_same(change)) {
            Some(Entry {
                change: Change::Write { new, .. },
                ..
            }) => {
                if let Change::Write { new: wanted, .. } = change {
                    new.clone_from(wanted);
                }
            }
            Some(_) => {}
            None => self.entries.push(Entry {
                check: check.name().to_owned(),
                change: change.clone(),
            }),
        }
        self.save()
    }

    /// Takes a change out of the record: it was taken back, or could not be made.
    pub(super) fn forget(&mut self, change: &Change) -> Result<(), Failure> {
        self.entries
            .retain(|entry| !entry.change.concerns_same(change));
        self.save()
    }

    fn save(&self) -> Result<(), Failure> {
        let saved = if self.entries.is_empty() {
            self.tree.remove(RECORD)
        } else {
            let text = serde_json::to_string_pretty(&self.entries).map_err(io::Error::other);
            text.and_then(|text| self.tree.replace(RECORD, &text))
        };
        saved.map_err(Failure::at(&format!("cannot write {RECORD}")))
    }

    /// Writes the files for the next boot.
    pub(super) fn make_last(&self) -> Result<(), Failure> {
        let (mut sysctls, mut others) = (String::new(), String::new());
        for entry in &self.entries {
            let Change::Write { path, new, .. } = &entry.change else {
                continue;
            };
            let written = match sysctl(path) {
                Some(name) => writeln!(sysctls, "{name} = {new}"),
                None => writeln!(others, "w {path} - - - - {}", new.replace('%', "%%")),
            };
            // A String takes everything.
            written.ok();
        }
        for (path, text) in [(SYSCTLS, sysctls), (OTHERS, others)] {
            let made = match text.is_empty() {
                true => self.tree.remove(path),
                false => self.tree.replace(path, &format!("{HEAD}{text}")),
            };
            made.map_err(Failure::at(&format!("cannot write {path}")))?;
        }
        if self.entries.is_empty() {
            // With a calibration in it, it stays.
            std::fs::remove_dir(self.tree.path(DIRECTORY)).ok();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_force_first_is_what_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::below(dir.path());
        let first = Change::write("/sys/a", "old", "new");
        let again = Change::write("/sys/a", "meddled", "newer");
        let mut record = Record::open(&tree).unwrap();
        record.note(CheckName::Boost, &first).unwrap();
        record.note(CheckName::Boost, &again).unwrap();
        drop(record);
        let mut record = Record::open(&tree).unwrap();
        let expected = Change::write("/sys/a", "old", "newer");
        assert_eq!(record.entries.len(), 1);
        assert_eq!(record.entries[0].change, expected);
        record.forget(&first).unwrap();
        assert!(record.entries.is_empty() && !tree.has(RECORD));
    }

    #[test]
    fn changes_hold_after_a_boot_and_the_files_go_with_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::below(dir.path());
        let mut record = Record::open(&tree).unwrap();
        let one = Change::write("/proc/sys/kernel/core_pattern", "|x", "core");
        let other = Change::write("/sys/b", "1", "50%");
        record.note(CheckName::CorePattern, &one).unwrap();
        record.note(CheckName::Boost, &other).unwrap();
        record.make_last().unwrap();
        let text = |path| tree.text(path).unwrap();
        assert!(text(SYSCTLS).ends_with("\nkernel.core_pattern = core"));
        assert!(text(OTHERS).ends_with("\nw /sys/b - - - - 50%%"));
        record.forget(&one).unwrap();
        record.forget(&other).unwrap();
        record.make_last().unwrap();
        assert!(!tree.has(SYSCTLS) && !tree.has(OTHERS));
    }

    #[test]
    fn a_record_that_makes_no_sense_is_not_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::below(dir.path());
        tree.replace(RECORD, "nonsense").unwrap();
        assert!(
            Record::open(&tree)
                .unwrap_err()
                .text()
                .contains("no record of changes")
        );
        assert!(tree.has(RECORD));
    }
}
