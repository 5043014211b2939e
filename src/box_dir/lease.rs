//! The user and group ids that programs run with: few, leased to the boxes that exist.
//!
//! A lease is a symbolic link beside the lock files, `uid-<uid>`, whose target is the number of the box:
//! symlink(2) makes both in one step or fails, so that no two boxes get the same uid. It is taken before the
//! record of the box says so, and given up after the record is gone; where that did not happen, because the
//! process was killed in between, the next box that wants the uid notices and takes it.

use std::fmt;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::readlinkat;
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::place::{errno, make_place};
use super::{Absent, BoxDirError, Busy, Lock, LockError, Owner};
use crate::quantity::BoxId;

/// What the name of a lease begins with.
const PREFIX: &str = "uid-";

/// The ids that are there to be leased: `size` of them from `first` on, uid and gid together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdPool {
    /// The first uid and gid.
    pub(crate) first: Owner,
    /// How many there are, at least 1; the last ids are in range.
    pub(crate) size: u32,
}

impl IdPool {
    /// The ids to try for a box, in order: those it had before, those of its number, as isolate has them, then all
    /// others.
    fn candidates(self, id: BoxId, before: Option<Owner>) -> impl Iterator<Item = Owner> {
        let at = move |slot: u32| Owner {
            uid: self.first.uid + slot,
            gid: self.first.gid + slot,
        };
        let own = id.0 % self.size;
        let rest = (own..self.size).chain(0..own).map(at);
        let before = before.filter(|ids| self.contains(*ids));
        before.into_iter().chain(rest)
    }

    fn contains(self, ids: Owner) -> bool {
        let slot = ids.uid.checked_sub(self.first.uid);
        slot.is_some_and(|slot| slot < self.size) && slot == ids.gid.checked_sub(self.first.gid)
    }
}

/// Why a box got no ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeaseError {
    /// All are leased to other boxes.
    Exhausted(IdPool),
    /// A lease cannot be read or written.
    Failed(BoxDirError),
}

impl fmt::Display for LeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted(pool) => write!(
                f,
                "all {} user ids are in use by other boxes: remove unused boxes by --cleanup, or raise boxes.count in \
                 isolate.toml",
                pool.size
            ),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LeaseError {}

/// Leases ids to the box `id`, which the caller has locked; those that it had `before` if they still are in the
/// pool.
pub(crate) fn lease(
    locks: &Path,
    id: BoxId,
    pool: IdPool,
    before: Option<Owner>,
) -> Result<Owner, LeaseError> {
    let place = make_place(locks).map_err(LeaseError::Failed)?;
    for ids in pool.candidates(id, before) {
        let link = Link::of(&place, locks, ids.uid);
        if link.take(id).map_err(LeaseError::Failed)? {
            if let Some(before) = before.filter(|before| before.uid != ids.uid) {
                release(locks, id, before).map_err(LeaseError::Failed)?;
            }
            return Ok(ids);
        }
    }
    Err(LeaseError::Exhausted(pool))
}

/// Gives up the lease of the box `id`, which the caller has locked and whose record is gone.
pub(crate) fn release(locks: &Path, id: BoxId, ids: Owner) -> Result<(), BoxDirError> {
    release_uid(&make_place(locks)?, locks, id, ids.uid)
}

/// The same for a box whose ids are not known: its record was lost.
pub(crate) fn release_all(locks: &Path, id: BoxId) -> Result<(), BoxDirError> {
    let place = make_place(locks)?;
    let entries =
        fs::read_dir(locks).map_err(|error| BoxDirError::at("read", locks)(errno(&error)))?;
    for entry in entries {
        let entry = entry.map_err(|error| BoxDirError::at("read", locks)(errno(&error)))?;
        let name = entry.file_name();
        let uid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if let Some(uid) = uid.and_then(|uid| uid.parse().ok()) {
            release_uid(&place, locks, id, uid)?;
        }
    }
    Ok(())
}

fn release_uid(place: &OwnedFd, locks: &Path, id: BoxId, uid: u32) -> Result<(), BoxDirError> {
    let link = Link::of(place, locks, uid);
    if link.holder()? == Some(id) {
        link.remove()?;
    }
    Ok(())
}

/// The link that stands for a uid.
struct Link<'a> {
    place: &'a OwnedFd,
    locks: &'a Path,
    uid: u32,
    name: String,
}

impl<'a> Link<'a> {
    fn of(place: &'a OwnedFd, locks: &'a Path, uid: u32) -> Self {
        Self {
            place,
            locks,
            uid,
            name: format!("{PREFIX}{uid}"),
        }
    }

    fn path(&self) -> PathBuf {
        self.locks.join(&self.name)
    }

    /// Takes the uid for the box `id` unless another box has it.
    fn take(&self, id: BoxId) -> Result<bool, BoxDirError> {
        // Once more when what was in the way turned out to be left over, which somebody else may take, too.
        for _ in 0..2 {
            match symlinkat(id.to_string().as_str(), self.place, self.name.as_str()) {
                Ok(()) => return Ok(true),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(BoxDirError::at("make", &self.path())(errno)),
            }
            match self.holder()? {
                Some(holder) if holder == id => return Ok(true),
                Some(holder) if !self.remove_left_over(holder)? => return Ok(false),
                Some(_) | None => {}
            }
        }
        Ok(false)
    }

    /// The box that has the uid.
    fn holder(&self) -> Result<Option<BoxId>, BoxDirError> {
        let target = match readlinkat(self.place, self.name.as_str()) {
            Ok(target) => target,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(BoxDirError::at("read", &self.path())(errno)),
        };
        let id = target.to_str().and_then(|text| text.parse().ok());
        match id {
            Some(id) => Ok(Some(BoxId(id))),
            None => Err(BoxDirError::Unfit {
                path: self.path(),
                reason: "does not name a box: it was not made by this program",
            }),
        }
    }

    /// Removes the lease of a box that does not know of it. That box is locked for as long, so that it does not
    /// just come to be.
    fn remove_left_over(&self, holder: BoxId) -> Result<bool, BoxDirError> {
        let mut lock = match Lock::acquire(self.locks, holder, Absent::Create, Busy::Refuse) {
            Ok(Some(lock)) => lock,
            Err(LockError::Failed(error)) => return Err(error),
            // It is being worked on.
            Ok(None) | Err(LockError::Busy | LockError::Garbage(_)) => return Ok(false),
        };
        let is_left_over = match lock.record() {
            Ok(None) => true,
            Ok(Some(record)) => record.ids.uid != self.uid,
            Err(_) => false,
        };
        if is_left_over && self.holder()? == Some(holder) {
            self.remove()?;
        }
        if matches!(lock.record(), Ok(None)) {
            // It was made just for this.
            lock.clear().ok();
        }
        Ok(is_left_over)
    }

    fn remove(&self) -> Result<(), BoxDirError> {
        match unlinkat(
            self.place.as_fd(),
            self.name.as_str(),
            UnlinkatFlags::NoRemoveDir,
        ) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(BoxDirError::at("remove", &self.path())(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::Record;
    use super::*;

    const POOL: IdPool = IdPool {
        first: Owner {
            uid: 60_000,
            gid: 70_000,
        },
        size: 3,
    };

    fn ids(slot: u32) -> Owner {
        Owner {
            uid: 60_000 + slot,
            gid: 70_000 + slot,
        }
    }

    /// A box that exists.
    fn make(locks: &Path, number: u32) -> (Lock, Owner) {
        let id = BoxId(number);
        let lock = Lock::acquire(locks, id, Absent::Create, Busy::Refuse);
        let lock = lock.unwrap().unwrap();
        let ids = lease(locks, id, POOL, None).unwrap();
        lock.write(&Record {
            owner: Owner { uid: 1, gid: 1 },
            ids,
            cg: false,
            ready: true,
            running: false,
        })
        .unwrap();
        (lock, ids)
    }

    #[test]
    fn boxes_get_the_ids_of_their_numbers_and_others_when_these_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path();
        let (_lock, first) = make(locks, 1);
        assert_eq!(first, ids(1));
        let (lock, second) = make(locks, 4);
        assert_eq!(second, ids(2));
        drop(lock);
        let (_, third) = make(locks, 2_147_483_647);
        assert_eq!(third, ids(0));
        let error = lease(locks, BoxId(0), POOL, None).unwrap_err();
        assert_eq!(error, LeaseError::Exhausted(POOL));
        assert!(error.to_string().contains("raise boxes.count"), "{error}");
        // A box keeps its ids.
        assert_eq!(lease(locks, BoxId(4), POOL, Some(ids(2))), Ok(ids(2)));
        assert_eq!(lease(locks, BoxId(4), POOL, None), Ok(ids(2)));
    }

    #[test]
    fn ids_that_were_given_up_or_left_over_are_leased_again() {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path();
        let (mut lock, first) = make(locks, 1);
        assert_eq!(lease(locks, BoxId(4), POOL, None), Ok(ids(2)));
        lock.clear().unwrap();
        release(locks, BoxId(1), first).unwrap();
        drop(lock);
        assert!(!locks.join("uid-60001").exists());
        // Box 1 is gone without having given its ids up, box 4 never came to be.
        symlink("1", locks.join("uid-60001")).unwrap();
        assert_eq!(make(locks, 7).1, ids(1));
        assert_eq!(make(locks, 2).1, ids(2));
        let names = fs::read_dir(locks).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["2", "7", "uid-60001", "uid-60002"]);
        // The lease of another box is not given up.
        release(locks, BoxId(2), ids(1)).unwrap();
        release_all(locks, BoxId(2)).unwrap();
        assert!(fs::symlink_metadata(locks.join("uid-60001")).is_ok());
        assert!(fs::symlink_metadata(locks.join("uid-60002")).is_err());
        assert_eq!(lease(locks, BoxId(1), POOL, None), Ok(ids(2)));
    }

    #[test]
    fn ids_outside_of_the_pool_are_exchanged() {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path();
        let old = Owner { uid: 5, gid: 5 };
        symlink("1", locks.join("uid-5")).unwrap();
        assert_eq!(lease(locks, BoxId(1), POOL, Some(old)), Ok(ids(1)));
        assert!(fs::symlink_metadata(locks.join("uid-5")).is_err());
    }

    #[test]
    fn what_is_not_a_lease_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        symlink("x", dir.path().join("uid-60001")).unwrap();
        let error = lease(dir.path(), BoxId(1), POOL, None).unwrap_err();
        assert!(error.to_string().contains("does not name a box"), "{error}");
        fs::remove_file(dir.path().join("uid-60001")).unwrap();
        fs::write(dir.path().join("uid-60001"), "").unwrap();
        assert!(lease(dir.path(), BoxId(1), POOL, None).is_err());
    }

    #[test]
    fn many_at_once_get_different_ids() {
        let dir = tempfile::tempdir().unwrap();
        let pool = IdPool { size: 16, ..POOL };
        let mut uids: Vec<u32> = std::thread::scope(|scope| {
            let take = |number: u32| {
                let id = BoxId(number * 16);
                let lock = Lock::acquire(dir.path(), id, Absent::Create, Busy::Wait);
                let lock = lock.unwrap().unwrap();
                let ids = lease(dir.path(), id, pool, None).unwrap();
                let owner = Owner { uid: 1, gid: 1 };
                let record = Record {
                    owner,
                    ids,
                    cg: false,
                    ready: true,
                    running: false,
                };
                lock.write(&record).unwrap();
                ids.uid
            };
            let threads: Vec<_> = (0..16).map(|n| scope.spawn(move || take(n))).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, u32>| thread.join().unwrap();
            threads.into_iter().map(join).collect()
        });
        uids.sort_unstable();
        assert_eq!(uids, (60_000..60_016).collect::<Vec<_>>());
    }
}
