//! The file `cpus` beside the locks of the boxes: a slot for each CPU.
//!
//! Who has locked a slot has the CPU; the kernel unlocks it when the last process is gone that has
//! the lease, however they end. What stands in the slot only counts: how many leases began there,
//! and whose processes may still be there if nobody said that they are gone.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::CpusError;
use crate::box_dir::{CPUS, open_cpus};
use crate::sys::range_lock::{lock, locked_by_others, try_lock, unlock};

/// The length of a slot, in bytes.
const LENGTH: u64 = 32;
/// One more than the largest number of a CPU.
const MOST: u64 = 1 << 16;
/// The lock of those who choose, behind all slots.
const TURN: Range<u64> = MOST * LENGTH..MOST * LENGTH + 1;

/// What stands in a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Slot {
    /// How many leases have begun whose first CPU this was.
    pub(super) leases: u64,
    /// Whether the last one has not said that it is over.
    pub(super) is_open: bool,
    /// The user of its program; 0 before that is known.
    pub(super) uid: u32,
}

/// The opened file.
#[derive(Debug)]
pub(super) struct Slots {
    file: File,
    path: PathBuf,
}

impl Slots {
    /// Opens the file in the directory of locks, or makes it.
    pub(super) fn open(locks: &Path) -> Result<Self, CpusError> {
        Ok(Self {
            file: open_cpus(locks).map_err(CpusError::Pool)?,
            path: locks.join(CPUS),
        })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor that has the locks.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Does this while nobody else takes a CPU; they may give theirs up.
    pub(super) fn in_turn<T>(
        &self,
        choose: impl FnOnce() -> Result<T, CpusError>,
    ) -> Result<T, CpusError> {
        lock(&self.file, &TURN).map_err(self.failed("lock"))?;
        let chosen = choose();
        unlock(&self.file, &TURN).map_err(self.failed("unlock"))?;
        chosen
    }

    /// The CPUs that others have.
    pub(super) fn held(&self) -> Result<BTreeSet<u32>, CpusError> {
        let mut held = BTreeSet::new();
        self.look_for_held(0..MOST * LENGTH, &mut held)?;
        Ok(held)
    }

    /// The same in a range of bytes. The kernel shows one lock at a time, and any of them.
    fn look_for_held(&self, range: Range<u64>, held: &mut BTreeSet<u32>) -> Result<(), CpusError> {
        let mut rest = range;
        while !rest.is_empty() {
            let found = locked_by_others(&self.file, &rest);
            let Some(found) = found.map_err(self.failed("look at the locks of"))? else {
                return Ok(());
            };
            let cpus = found.start / LENGTH..found.end.div_ceil(LENGTH);
            held.extend(cpus.filter_map(|cpu| u32::try_from(cpu).ok()));
            self.look_for_held(rest.start..found.start, held)?;
            rest.start = found.end;
        }
        Ok(())
    }

    /// Takes a CPU if nobody else has it; whether it is ours now.
    pub(super) fn take(&self, cpu: u32) -> Result<bool, CpusError> {
        try_lock(&self.file, &range(cpu)).map_err(self.failed("lock"))
    }

    /// Gives a CPU back.
    pub(super) fn give_back(&self, cpu: u32) -> Result<(), CpusError> {
        unlock(&self.file, &range(cpu)).map_err(self.failed("unlock"))
    }

    /// What stands in a slot; nothing where none of this program's records does.
    pub(super) fn read(&self, cpu: u32) -> Result<Slot, CpusError> {
        let mut bytes = [0; LENGTH as usize];
        let read = self.file.read_exact_at(&mut bytes, range(cpu).start);
        match read {
            Ok(()) => Ok(parse(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Slot::default()),
            Err(error) => Err(self.failed("read")(error)),
        }
    }

    /// Writes a slot, whole.
    pub(super) fn write(&self, cpu: u32, slot: Slot) -> Result<(), CpusError> {
        let text = print(slot);
        let written = self.file.write_all_at(text.as_bytes(), range(cpu).start);
        written.map_err(self.failed("write to"))
    }

    fn failed(&self, step: &'static str) -> impl Fn(io::Error) -> CpusError {
        CpusError::locks(step, &self.path)
    }
}

fn range(cpu: u32) -> Range<u64> {
    let start = u64::from(cpu) * LENGTH;
    start..start + LENGTH
}

fn print(slot: Slot) -> String {
    let Slot {
        leases,
        is_open,
        uid,
    } = slot;
    let leases = leases % 1_000_000_000_000_000_000;
    let sign = if is_open { '+' } else { '-' };
    format!("{leases:18} {sign} {uid:10}\n")
}

fn parse(bytes: &[u8]) -> Option<Slot> {
    let text = std::str::from_utf8(bytes).ok()?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let [leases, sign @ ("+" | "-"), uid] = words[..] else {
        return None;
    };
    Some(Slot {
        leases: leases.parse().ok()?,
        is_open: sign == "+",
        uid: uid.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_read_as_it_was_written_and_garbage_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let slots = Slots::open(dir.path()).unwrap();
        let slot = Slot {
            leases: u64::MAX % 1_000_000_000_000_000_000,
            is_open: true,
            uid: u32::MAX - 2,
        };
        assert_eq!(print(slot).len(), LENGTH as usize);
        slots.write(2, slot).unwrap();
        assert_eq!(slots.read(2).unwrap(), slot);
        for cpu in [0, 1, 3, 65_535] {
            assert_eq!(slots.read(cpu).unwrap(), Slot::default());
        }
        std::fs::write(slots.path(), "x".repeat(100)).unwrap();
        assert_eq!(slots.read(2).unwrap(), Slot::default());
    }

    #[test]
    fn all_that_others_hold_is_seen_and_nothing_of_ones_own() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Slots::open(dir.path()).unwrap();
        let (first, second, looker) = (open(), open(), open());
        for cpu in [1, 2, 7] {
            assert!(first.take(cpu).unwrap());
            assert!(!second.take(cpu).unwrap());
        }
        assert!(second.take(65_535).unwrap());
        assert_eq!(looker.held().unwrap(), BTreeSet::from([1, 2, 7, 65_535]));
        assert_eq!(first.held().unwrap(), BTreeSet::from([65_535]));
        first.give_back(2).unwrap();
        drop(second);
        assert_eq!(looker.held().unwrap(), BTreeSet::from([1, 7]));
    }
}
