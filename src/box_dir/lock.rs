//! The lock of a box: `<locks>/<id>`, locked by flock(2) while a command works on the box, with a
//! record of who owns the box.
//!
//! A lock file goes with its box. A process that waited for the lock, and then has that of a file
//! without a name, begins anew; otherwise it would believe that it had the box.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::fstat;

use super::Record;
use super::kept::Kept;
use super::lease_link::Link;
use super::lock_error::LockError;
use super::lock_file::{Absent, LockFile};
use super::place::errno;
use crate::quantity::BoxId;
use crate::sys::file::{IfLocked, lock_exclusively};

/// What to do when another process has the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    /// Wait for it (`--wait`).
    Wait,
    /// Refuse after 200 ms: the init of a killed keeper holds the lock until it is dead too.
    Grace,
    /// Refuse at once, for the search for a free box.
    Refuse,
}

/// A box's lock file, locked. The lock goes with the last copy of the descriptor: a child that
/// inherits it keeps the box locked.
#[derive(Debug)]
pub(crate) struct Lock(LockFile);

impl Lock {
    /// Locks the box `id`. None when there is no lock file and none is to be made.
    pub(crate) fn acquire(
        locks: &Path,
        id: BoxId,
        absent: Absent,
        busy: Busy,
    ) -> Result<Option<Self>, LockError> {
        let mut pauses = match busy {
            Busy::Wait | Busy::Refuse => 0,
            Busy::Grace => 20,
        };
        loop {
            let Some(file) = LockFile::open(locks, id, absent).map_err(LockError::Failed)? else {
                return Ok(None);
            };
            let if_locked = match busy {
                Busy::Wait => IfLocked::Wait,
                Busy::Refuse | Busy::Grace => IfLocked::Refuse,
            };
            let locked = lock_exclusively(file.file.as_fd(), if_locked);
            match locked.map_err(|error| errno(&error)) {
                Ok(()) if file.was_removed()? => {}
                Ok(()) => return Ok(Some(Self(file))),
                Err(Errno::EWOULDBLOCK) if pauses > 0 => {
                    pauses -= 1;
                    sleep(Duration::from_millis(10));
                }
                Err(Errno::EWOULDBLOCK) => return Err(LockError::Busy),
                Err(errno) => return Err(file.failed("lock", errno)),
            }
        }
    }

    /// The record of a box that somebody else may be working on.
    pub(crate) fn peek(locks: &Path, id: BoxId) -> Option<Record> {
        let file = LockFile::open(locks, id, Absent::Report).ok()??;
        file.record().ok()?
    }

    /// The box.
    pub(super) fn id(&self) -> BoxId {
        self.0.id
    }

    /// The lease of a uid, beside the lock file.
    pub(super) fn link(&self, uid: u32) -> Link<'_> {
        Link::of(&self.0.place, &self.0.locks, uid)
    }

    /// The directory of lock files, opened.
    pub(super) fn place(&self) -> BorrowedFd<'_> {
        self.0.place.as_fd()
    }

    /// The directory of lock files.
    pub(super) fn locks(&self) -> &Path {
        &self.0.locks
    }

    /// The descriptor that holds the lock, for a child that is to inherit it.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }

    /// What the lock file says; None when it is empty, so that there is no box.
    pub(crate) fn record(&self) -> Result<Option<Record>, LockError> {
        self.0.record()
    }

    /// Writes the record, and who keeps the scope of the box's next run. All records have the same
    /// length, so that one write replaces one by another whole.
    pub(crate) fn write(&self, record: &Record, kept: Option<Kept>) -> Result<(), LockError> {
        let mut text = record.print();
        text.extend(kept.map(Kept::print));
        let file = &self.0.file;
        file.write_all_at(text.as_bytes(), 0)
            .and_then(|()| file.set_len(text.len() as u64))
            .map_err(|error| self.0.failed("write the lock file", errno(&error)))
    }

    /// Empties the lock file: there is no box any longer.
    pub(super) fn clear(&self) -> Result<(), LockError> {
        self.0
            .file
            .set_len(0)
            .map_err(|error| self.0.failed("empty the lock file", errno(&error)))
    }
}

impl Drop for Lock {
    /// Removes the file of a box that is gone or never came to be, while nobody else can have it.
    /// Otherwise files would pile up where each submission has a number of its own.
    fn drop(&mut self) {
        if matches!(fstat(&self.0.file), Ok(stat) if stat.st_size == 0 && stat.st_nlink > 0) {
            std::fs::remove_file(self.0.path()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::time::Instant;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::super::Owner;
    use super::*;

    const ID: BoxId = BoxId(7);

    fn acquire(dir: &Path, absent: Absent) -> Result<Option<Lock>, LockError> {
        Lock::acquire(dir, ID, absent, Busy::Refuse)
    }

    fn record(uid: u32) -> Record {
        Record {
            owner: Owner { uid, gid: 100 },
            ids: Owner { uid, gid: uid },
            cg: true,
            ready: false,
            running: false,
        }
    }

    #[test]
    fn a_box_that_was_never_locked_is_reported_and_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path().join("locks");
        assert!(acquire(&locks, Absent::Report).unwrap().is_none());
        assert!(!locks.exists());
        let lock = acquire(&locks, Absent::Create).unwrap();
        let path = locks.join("7");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(
            acquire(&locks, Absent::Report).unwrap_err(),
            LockError::Busy
        );
        assert!(path.exists());
        // Nothing was written.
        drop(lock);
        assert!(!path.exists());
    }

    #[test]
    fn a_record_is_read_as_it_was_written_until_it_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let lock = acquire(dir.path(), Absent::Create).unwrap().unwrap();
        assert_eq!(lock.record(), Ok(None));
        for uid in [u32::MAX, 0, 1_000] {
            lock.write(&record(uid), None).unwrap();
            assert_eq!(lock.record(), Ok(Some(record(uid))));
        }
        drop(lock);
        let lock = acquire(dir.path(), Absent::Report).unwrap().unwrap();
        assert_eq!(lock.record(), Ok(Some(record(1_000))));
        lock.clear().unwrap();
        assert_eq!(lock.record(), Ok(None));
        drop(lock);
        assert!(acquire(dir.path(), Absent::Report).unwrap().is_none());
    }

    #[test]
    fn who_waited_for_a_box_that_was_removed_gets_a_new_one_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let first = acquire(dir.path(), Absent::Create).unwrap().unwrap();
        first.write(&record(1), None).unwrap();
        let wait = |absent| Lock::acquire(dir.path(), ID, absent, Busy::Wait).unwrap();
        std::thread::scope(|scope| {
            let reports = scope.spawn(|| wait(Absent::Report).is_none());
            sleep(Duration::from_millis(50));
            first.clear().unwrap();
            drop(first);
            assert!(reports.join().unwrap());
        });
        let second = wait(Absent::Create).unwrap();
        std::thread::scope(|scope| {
            let creates = scope.spawn(|| wait(Absent::Create).unwrap());
            sleep(Duration::from_millis(50));
            second.clear().unwrap();
            drop(second);
            let third = creates.join().unwrap();
            assert_eq!(third.record(), Ok(None));
            let error = acquire(dir.path(), Absent::Create).unwrap_err();
            assert_eq!(error, LockError::Busy);
        });
    }

    #[test]
    fn what_is_not_a_record_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let lock = acquire(dir.path(), Absent::Create).unwrap().unwrap();
        let good = record(1).print();
        for text in [
            "x".to_owned(),
            "los\u{0}".to_owned(),
            good.replace("run 2", "run 3"),
            good.replace("cg 1", "cg 2"),
            good.trim_end().to_owned(),
            good.clone() + "\n",
            good.repeat(100),
        ] {
            fs::write(dir.path().join("7"), &text).unwrap();
            let error = lock.record().unwrap_err().to_string();
            assert!(error.contains("/7'"), "{text}: {error}");
        }
    }

    #[test]
    fn a_busy_box_is_refused_at_once_or_after_a_moment() {
        let dir = tempfile::tempdir().unwrap();
        let first = acquire(dir.path(), Absent::Create).unwrap().unwrap();
        first.write(&record(1), None).unwrap();
        let begin = Instant::now();
        let error = acquire(dir.path(), Absent::Report).unwrap_err();
        assert_eq!(
            error.to_string(),
            "This box is currently in use by another process"
        );
        let error = Lock::acquire(dir.path(), ID, Absent::Report, Busy::Grace);
        assert_eq!(error.unwrap_err(), LockError::Busy);
        assert!(begin.elapsed() >= Duration::from_millis(190));
        let release = std::thread::spawn(move || {
            sleep(Duration::from_millis(50));
            drop(first);
        });
        // On a busy machine that moment may be over before the lock is free.
        let begin = Instant::now();
        let lock = loop {
            match Lock::acquire(dir.path(), ID, Absent::Report, Busy::Grace) {
                Err(LockError::Busy) => assert!(begin.elapsed() < Duration::from_secs(60)),
                other => break other.unwrap().unwrap(),
            }
        };
        release.join().unwrap();
        let release = std::thread::spawn(move || {
            sleep(Duration::from_millis(300));
            drop(lock);
        });
        let lock = Lock::acquire(dir.path(), ID, Absent::Report, Busy::Wait);
        assert!(lock.unwrap().is_some());
        release.join().unwrap();
    }

    #[test]
    fn a_lock_file_that_is_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("7");
        fs::write(dir.path().join("target"), "").unwrap();
        symlink("target", &path).unwrap();
        let error = acquire(dir.path(), Absent::Create).unwrap_err();
        assert!(error.to_string().ends_with("is a symbolic link"), "{error}");
        fs::remove_file(&path).unwrap();
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let error = acquire(dir.path(), Absent::Create).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}
