//! The user and group ids that programs run with: few, and leased to the boxes that exist.
//!
//! A lease is a symbolic link beside the lock files, `uid-<uid>`, whose target is the number of the
//! box. symlink(2) makes name and target in one step or fails, so that no two boxes get the same
//! uid.
//!
//! A box takes its lease before its record names the ids, and gives it up after the record is gone
//! and before the lock is. A process that is killed in between leaves the lease over; the next box
//! that wants the uid notices this and takes it. Ids that any process has, or had a moment ago, are
//! passed over.

use std::fmt;

use super::id_pool::IdPool;
use super::last_look::{Look, last_look, note};
use super::lease_link::leased_uids;
use super::rotation::{next_slot, set_next_slot};
use super::stragglers::{InUse, has_program};
use super::{BoxDirError, Lock, LockError, Owner, Record};

/// Why a box got no ids, or could not give its ids up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeaseError {
    /// All of them are leased to other boxes.
    Exhausted(IdPool),
    /// A lease cannot be read or written.
    Failed(BoxDirError),
    /// The record of the box cannot be written.
    Record(LockError),
}

impl fmt::Display for LeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted(pool) => write!(
                f,
                "all {} user ids are in use by other boxes, or by processes outside of boxes: remove unused boxes by --cleanup, or raise boxes.count in \
                 isolate.toml",
                pool.size
            ),
            Self::Failed(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LeaseError {}

impl Lock {
    /// Makes the box the owner's, with ids of its own. It keeps those that it had `before` if they
    /// are still in the pool.
    pub(crate) fn claim(
        &self,
        pool: IdPool,
        before: Option<Record>,
        owner: Owner,
        cg: bool,
    ) -> Result<Record, LeaseError> {
        let before = before.map(|record| record.ids);
        let ids = self.lease(pool, before, owner)?;
        let record = Record {
            owner,
            ids,
            cg,
            ready: false,
            running: false,
        };
        let written = self.write(&record, None);
        // Not earlier: a process that is killed in between leaves one lease too many, not one too
        // few.
        let given_up = match (&written, before) {
            (Ok(()), Some(before)) if before != ids => Some(before),
            (Err(_), before) if before != Some(ids) => Some(ids),
            _ => None,
        };
        if written.is_err() && before.is_none() {
            // A record that is written in part counts as none.
            self.clear().ok();
        }
        if let Some(ids) = given_up {
            self.release(ids).map_err(LeaseError::Failed)?;
        }
        written.map(|()| record).map_err(LeaseError::Record)
    }

    /// Leases ids. Root's boxes have the ids of their numbers, as in isolate; those of users go
    /// round, so that nobody can choose whose ids they get next or who gets theirs.
    fn lease(
        &self,
        pool: IdPool,
        before: Option<Owner>,
        owner: Owner,
    ) -> Result<Owner, LeaseError> {
        let start = match owner.uid {
            0 => self.id().0,
            _ => next_slot(self.place(), self.locks()).map_err(LeaseError::Failed)?,
        };
        // However many ids are passed over, all processes are looked at once or twice.
        let mut seen = InUse::default();
        for ids in pool.candidates(start, before) {
            if seen.has(ids) {
                continue;
            }
            let taken = self.link(ids.uid).take(self.id());
            if !taken.map_err(LeaseError::Failed)? {
                continue;
            }
            let moves_on = owner.uid != 0 && before != Some(ids);
            let kept = self.keep(ids, moves_on.then_some(pool), &mut seen);
            if kept == Ok(true) {
                return Ok(ids);
            }
            let released = match before {
                Some(before) if before == ids => Ok(()),
                _ => self.release(ids),
            };
            kept.and(released).map_err(LeaseError::Failed)?;
        }
        Err(LeaseError::Exhausted(pool))
    }

    /// Whether ids that are just leased can stay so: no process has them. The rotation of a `pool`
    /// goes on behind them.
    fn keep(
        &self,
        ids: Owner,
        pool: Option<IdPool>,
        seen: &mut InUse,
    ) -> Result<bool, BoxDirError> {
        // Not earlier: from here on no other box begins a run with them. A look of a moment ago has
        // not seen such a run if it has not seen the ids: the lease was given up after its end.
        let look = Look::begin();
        let last = look.and_then(|now| last_look(self.place(), self.locks(), now));
        *seen = match last {
            Some(last) if !last.has(ids) && !has_program(ids)? => last,
            _ => {
                let seen = InUse::look()?;
                look.inspect(|look| note(self.place(), self.locks(), &seen, *look));
                seen
            }
        };
        if seen.has(ids) {
            log::info!("uid {} is not leased: processes have it", ids.uid);
            return Ok(false);
        }
        if let Some(pool) = pool {
            set_next_slot(self.place(), self.locks(), ids.uid - pool.first.uid + 1)?;
        }
        Ok(true)
    }

    /// Whether these ids are leased to the box.
    pub(crate) fn holds(&self, ids: Owner) -> Result<bool, LeaseError> {
        let holder = self.link(ids.uid).holder();
        Ok(holder.map_err(LeaseError::Failed)? == Some(self.id()))
    }

    /// Ends the box: it has neither record nor ids any more. Without `ids` (the record was lost)
    /// all leases of the box are meant. The file goes with the lock, so nobody makes the box again
    /// in between.
    pub(crate) fn give_up(&self, ids: Option<Owner>) -> Result<(), LeaseError> {
        self.clear().map_err(LeaseError::Record)?;
        match ids {
            Some(ids) => self.release(ids),
            None => self.release_all(),
        }
        .map_err(LeaseError::Failed)
    }

    fn release(&self, ids: Owner) -> Result<(), BoxDirError> {
        self.link(ids.uid).release(self.id())
    }

    fn release_all(&self) -> Result<(), BoxDirError> {
        for uid in leased_uids(self.locks())? {
            self.link(uid).release(self.id())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::super::lease_link::holders;
    use super::super::{Absent, Busy};
    use super::*;
    use crate::quantity::BoxId;

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

    fn lock(locks: &Path, number: u32) -> Lock {
        let lock = Lock::acquire(locks, BoxId(number), Absent::Create, Busy::Wait);
        lock.unwrap().unwrap()
    }

    fn claim(lock: &Lock, pool: IdPool, before: Option<Owner>) -> Result<Owner, LeaseError> {
        let owner = Owner { uid: 0, gid: 0 };
        let before = before.map(|ids| Record {
            owner,
            ids,
            cg: false,
            ready: true,
            running: false,
        });
        lock.claim(pool, before, owner, false)
            .map(|record| record.ids)
    }

    /// Makes a box, and returns its ids.
    fn make(locks: &Path, number: u32) -> Owner {
        claim(&lock(locks, number), POOL, None).unwrap()
    }

    fn names(locks: &Path) -> Vec<String> {
        let names = fs::read_dir(locks).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = names.map(|it| name(it).into_string().unwrap()).collect();
        names.retain(|name| name != "processes");
        names.sort();
        names
    }

    #[test]
    fn boxes_get_the_ids_of_their_numbers_and_others_when_these_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path();
        assert_eq!(make(locks, 1), ids(1));
        assert_eq!(make(locks, 4), ids(2));
        assert_eq!(make(locks, 2_147_483_647), ids(0));
        let error = claim(&lock(locks, 0), POOL, None).unwrap_err();
        assert_eq!(error, LeaseError::Exhausted(POOL));
        assert!(error.to_string().contains("raise boxes.count"), "{error}");
        // A box keeps its ids.
        assert_eq!(claim(&lock(locks, 4), POOL, Some(ids(2))), Ok(ids(2)));
        assert_eq!(make(locks, 4), ids(2));
        assert!(lock(locks, 4).holds(ids(2)).unwrap());
        assert!(!lock(locks, 4).holds(ids(1)).unwrap());
        let expected = [
            "1",
            "2147483647",
            "4",
            "uid-60000",
            "uid-60001",
            "uid-60002",
        ];
        assert_eq!(names(locks), expected);
    }

    #[test]
    fn users_get_the_ids_that_rested_longest_whatever_the_numbers_of_their_boxes() {
        let dir = tempfile::tempdir().unwrap();
        let owner = Owner { uid: 1, gid: 1 };
        let mut before = None;
        for slot in [0, 1, 2, 0] {
            let lock = lock(dir.path(), 7);
            before = Some(lock.claim(POOL, None, owner, false).unwrap());
            assert_eq!(before.unwrap().ids, ids(slot));
            lock.give_up(Some(ids(slot))).unwrap();
        }
        // A box that is made anew keeps its ids, and one of root's does not move the rotation on.
        let again = lock(dir.path(), 7).claim(POOL, before, owner, false);
        assert_eq!(again.unwrap().ids, ids(0));
        assert_eq!(make(dir.path(), 2), ids(2));
        let next = lock(dir.path(), 5).claim(POOL, None, owner, false);
        assert_eq!(next.unwrap().ids, ids(1));
    }

    #[test]
    fn ids_that_a_process_has_are_not_leased() {
        let dir = tempfile::tempdir().unwrap();
        let pool = IdPool {
            first: super::super::tests::me(),
            size: 1000,
        };
        // The next, or one behind it, should some process of this machine have that.
        let ids = claim(&lock(dir.path(), 0), pool, None).unwrap();
        assert!((1..1000).contains(&(ids.uid - pool.first.uid)), "{ids:?}");
        let held = pool.first;
        let one = IdPool { size: 1, ..pool };
        for before in [None, Some(held)] {
            let error = claim(&lock(dir.path(), 4), one, before).unwrap_err();
            assert_eq!(error, LeaseError::Exhausted(one));
        }
    }

    #[test]
    fn each_slot_is_tried_once() {
        let tried = |before| POOL.candidates(4, before).collect::<Vec<_>>();
        assert_eq!(tried(None), [ids(1), ids(2), ids(0)]);
        assert_eq!(tried(Some(ids(2))), [ids(2), ids(1), ids(0)]);
        assert_eq!(tried(Some(ids(7))), [ids(1), ids(2), ids(0)]);
    }

    #[test]
    fn ids_that_were_given_up_or_left_over_are_leased_again() {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path();
        assert_eq!(make(locks, 1), ids(1));
        lock(locks, 1).give_up(Some(ids(1))).unwrap();
        assert!(names(locks).is_empty());
        // Box 1 is gone without having given its ids up, and box 4 is just being made.
        symlink("1", locks.join("uid-60001")).unwrap();
        symlink("4", locks.join("uid-60002")).unwrap();
        let busy = lock(locks, 4);
        assert_eq!(make(locks, 7), ids(1));
        assert_eq!(make(locks, 2), ids(0));
        drop(busy);
        assert_eq!(make(locks, 5), ids(2));
        assert_eq!(
            names(locks),
            ["2", "5", "7", "uid-60000", "uid-60001", "uid-60002"]
        );
        // The lease of another box stays.
        lock(locks, 2).give_up(Some(ids(1))).unwrap();
        assert!(lock(locks, 7).holds(ids(1)).unwrap());
        lock(locks, 2).give_up(None).unwrap();
        assert_eq!(names(locks), ["5", "7", "uid-60001", "uid-60002"]);
        assert_eq!(holders(locks).unwrap().len(), 2);
    }

    #[test]
    fn ids_outside_of_the_pool_are_exchanged() {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path();
        let old = Owner { uid: 5, gid: 5 };
        symlink("1", locks.join("uid-5")).unwrap();
        assert_eq!(claim(&lock(locks, 1), POOL, Some(old)), Ok(ids(1)));
        assert_eq!(names(locks), ["1", "uid-60001"]);
    }

    #[test]
    fn what_is_not_a_lease_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        symlink("x", dir.path().join("uid-60001")).unwrap();
        let error = claim(&lock(dir.path(), 1), POOL, None).unwrap_err();
        assert!(error.to_string().contains("does not name a box"), "{error}");
        fs::remove_file(dir.path().join("uid-60001")).unwrap();
        fs::write(dir.path().join("uid-60001"), "").unwrap();
        assert!(claim(&lock(dir.path(), 1), POOL, None).is_err());
    }

    /// Boxes with the same numbers are made and removed all the time, and no two that exist share a
    /// uid.
    #[test]
    fn many_at_once_have_different_ids_however_they_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let pool = IdPool { size: 6, ..POOL };
        let taken: Vec<_> = (0..6)
            .map(|_| std::sync::atomic::AtomicBool::new(false))
            .collect();
        std::thread::scope(|scope| {
            for thread in 0..8_u32 {
                let (taken, locks) = (&taken, dir.path());
                scope.spawn(move || {
                    use std::sync::atomic::Ordering::SeqCst;
                    for round in 0..15 {
                        let lock = lock(locks, (thread + round) % 5 * 6);
                        let ids = claim(&lock, pool, None).unwrap();
                        let taken = &taken[(ids.uid - POOL.first.uid) as usize];
                        assert!(!taken.swap(true, SeqCst), "{ids:?}");
                        assert!(lock.holds(ids).unwrap());
                        std::thread::yield_now();
                        taken.store(false, SeqCst);
                        lock.give_up(Some(ids)).unwrap();
                    }
                });
            }
        });
        assert!(names(dir.path()).is_empty());
    }
}
