//! How many boxes there are and whose they are, for ceilings.
//!
//! A process that counts and then makes a box does both in its turn, so that two at once do not
//! both get the last one that is allowed.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};

use super::place::{check_owner, errno, make_place};
use super::{BoxDirError, Lock, holders};
use crate::sys::file::{IfLocked, lock_exclusively};

/// The file whose lock says whose turn it is. It is root's alone: a user who may open a file can
/// lock it.
const TURN: &str = "turn";

/// The owners of all boxes; nobody else counts while this exists.
#[derive(Debug)]
pub(crate) struct Census {
    owners: Vec<u32>,
    /// The lock of the file `turn`.
    _turn: File,
}

impl Census {
    /// Waits for the turn, and counts the boxes whose locks are in this directory.
    pub(crate) fn take(locks: &Path) -> Result<Self, BoxDirError> {
        let place = make_place(locks)?;
        let turn = open_turn(place.as_fd(), locks)?;
        lock_exclusively(turn.as_fd(), IfLocked::Wait)
            .map_err(|error| BoxDirError::at("lock", &locks.join(TURN))(errno(&error)))?;
        let owners = holders(locks)?
            .into_iter()
            .filter_map(|id| Lock::peek(locks, id))
            .map(|record| record.owner.uid)
            .collect();
        Ok(Self {
            owners,
            _turn: turn.into(),
        })
    }

    /// How many boxes this user has.
    pub(crate) fn of_user(&self, uid: u32) -> u32 {
        self.count(|owner| owner == uid)
    }

    /// How many boxes all users but root have.
    pub(crate) fn of_all_but_root(&self) -> u32 {
        self.count(|owner| owner != 0)
    }

    fn count(&self, is_meant: impl Fn(u32) -> bool) -> u32 {
        let meant = self.owners.iter().filter(|owner| is_meant(**owner));
        u32::try_from(meant.count()).unwrap_or(u32::MAX)
    }
}

/// Opens the file `turn`, or makes it. Its lock says whose turn it is, its content which ids are
/// next.
pub(super) fn open_turn(place: BorrowedFd<'_>, locks: &Path) -> Result<OwnedFd, BoxDirError> {
    open_beside(place, locks, TURN)
}

/// Opens a file that all boxes have in common, beside the locks, or makes it. It is root's alone.
pub(super) fn open_beside(
    place: BorrowedFd<'_>,
    locks: &Path,
    name: &'static str,
) -> Result<OwnedFd, BoxDirError> {
    let path = locks.join(name);
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let file =
        openat(place, name, flags, mode).map_err(BoxDirError::at("open the lock file", &path))?;
    let stat = fstat(&file).map_err(BoxDirError::at("examine", &path))?;
    check_owner(&stat, &path)?;
    Ok(file)
}

/// The file whose locks say which CPUs are leased. It is root's alone, like `turn`.
pub(crate) const CPUS: &str = "cpus";

/// Opens the file of the CPUs' locks, or makes it.
pub(crate) fn open_cpus(locks: &Path) -> Result<File, BoxDirError> {
    let place = make_place(locks)?;
    open_beside(place.as_fd(), locks, CPUS).map(File::from)
}

#[cfg(test)]
mod tests {
    use super::super::{Absent, Busy, IdPool, Owner};
    use super::*;
    use crate::quantity::BoxId;

    #[test]
    fn boxes_are_counted_by_owner_and_not_when_they_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path().join("locks");
        assert_eq!(Census::take(&locks).unwrap().of_all_but_root(), 0);
        let first = Owner {
            uid: 60_000,
            gid: 60_000,
        };
        let pool = IdPool { first, size: 9 };
        for (id, uid) in [(1, 7), (2, 7), (3, 8), (4, 0)] {
            let lock = Lock::acquire(&locks, BoxId(id), Absent::Create, Busy::Refuse);
            let lock = lock.unwrap().unwrap();
            lock.claim(pool, None, Owner { uid, gid: 1 }, false)
                .unwrap();
        }
        let lock = Lock::acquire(&locks, BoxId(2), Absent::Report, Busy::Refuse);
        lock.unwrap().unwrap().give_up(None).unwrap();
        let census = Census::take(&locks).unwrap();
        assert_eq!((census.of_user(7), census.of_user(8)), (1, 1));
        assert_eq!((census.of_user(9), census.of_all_but_root()), (0, 2));
    }

    #[test]
    fn nobody_counts_out_of_turn() {
        let dir = tempfile::tempdir().unwrap();
        let census = Census::take(dir.path()).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let locks = dir.path().to_owned();
        let waiting = std::thread::spawn(move || {
            drop(Census::take(&locks).unwrap());
            sender.send(()).unwrap();
        });
        let pause = std::time::Duration::from_millis(50);
        assert!(receiver.recv_timeout(pause).is_err());
        drop(census);
        waiting.join().unwrap();
    }
}
