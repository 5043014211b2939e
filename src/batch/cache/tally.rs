//! How much a cache holds, as far as that is known without looking at all of it: a number in a
//! file, which whoever adds an entry counts on, alone (flock(2)). It is wrong when somebody was
//! killed in between, or has removed files by hand; so everything is counted now and then.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::sys::file::{IfLocked, lock_exclusively};

/// After how many entries everything is counted.
const COUNTED_AFTER: u64 = 1000;
/// The longest content of the file: two numbers.
const LONGEST: u64 = 64;

/// The number, locked.
#[derive(Debug)]
pub(super) struct Tally {
    file: File,
    /// How much there is, in bytes, and how many entries were added since all was counted. `None`:
    /// that is not known.
    known: Option<(u64, u64)>,
}

impl Tally {
    /// Waits until nobody else has it.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(dir.join("size"))?;
        lock_exclusively(file.as_fd(), IfLocked::Wait)?;
        let mut text = String::new();
        let read = (&file).take(LONGEST).read_to_string(&mut text);
        let known = read.ok().and_then(|_| parse(&text));
        Ok(Self { file, known })
    }

    /// Counts an entry on; whether there is at most so much now, if that is known well enough.
    pub(super) fn add(&mut self, size: u64, most: u64) -> io::Result<bool> {
        let Some((sum, added)) = self.known else {
            return Ok(false);
        };
        let sum = sum.saturating_add(size);
        if sum > most || added >= COUNTED_AFTER {
            return Ok(false);
        }
        self.write(sum, added + 1)?;
        Ok(true)
    }

    /// Everything was counted.
    pub(super) fn set(&mut self, sum: u64) -> io::Result<()> {
        self.write(sum, 0)
    }

    fn write(&mut self, sum: u64, added: u64) -> io::Result<()> {
        self.known = Some((sum, added));
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(format!("{sum} {added}\n").as_bytes())
    }
}

/// A file that was written in part is no line.
fn parse(text: &str) -> Option<(u64, u64)> {
    let (sum, added) = text.strip_suffix('\n')?.split_once(' ')?;
    Some((sum.parse().ok()?, added.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_counted_on_until_all_has_to_be_counted() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Tally::open(dir.path()).unwrap();
        // Nothing is known yet.
        assert!(!open().add(1, 100).unwrap());
        open().set(90).unwrap();
        assert!(open().add(10, 100).unwrap());
        assert!(!open().add(1, 100).unwrap());
        open().set(0).unwrap();
        for _ in 0..COUNTED_AFTER {
            assert!(open().add(0, 100).unwrap());
        }
        assert!(!open().add(0, 100).unwrap());
        for broken in ["", "7", "7 ", "7 8", "x 8\n", "-1 8\n"] {
            std::fs::write(dir.path().join("size"), broken).unwrap();
            assert!(!open().add(1, 100).unwrap(), "{broken:?}");
        }
    }
}
