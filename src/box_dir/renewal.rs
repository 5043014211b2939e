//! A box that is made anew for the next job of a batch.

use super::id_pool::IdPool;
use super::{LeaseError, Lock, Record};

impl Lock {
    /// Makes a box anew whose ids stay its own: between two jobs of one batch, as between two runs
    /// in one box, nobody else had them, so that nobody is looked for who has them now
    /// (`check_unused` does that before each run). `None`: they are not its own, or not in the pool
    /// any more.
    pub(crate) fn renew(&self, pool: IdPool, before: Record) -> Result<Option<Record>, LeaseError> {
        if !pool.contains(before.ids) || !self.holds(before.ids)? {
            return Ok(None);
        }
        let record = Record {
            ready: false,
            running: false,
            ..before
        };
        self.write(&record, None).map_err(LeaseError::Record)?;
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Absent, Busy, Owner};
    use super::*;
    use crate::quantity::BoxId;

    const POOL: IdPool = IdPool {
        first: Owner {
            uid: 60_000,
            gid: 70_000,
        },
        size: 3,
    };

    #[test]
    fn a_box_is_renewed_with_its_own_ids_alone() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::acquire(dir.path(), BoxId(1), Absent::Create, Busy::Wait);
        let lock = lock.unwrap().unwrap();
        let owner = Owner { uid: 7, gid: 7 };
        let before = lock.claim(POOL, None, owner, true).unwrap();
        let ready = Record {
            ready: true,
            ..before
        };
        lock.write(&ready, None).unwrap();
        assert_eq!(lock.renew(POOL, ready).unwrap(), Some(before));
        assert_eq!(lock.record().unwrap(), Some(before));
        let first = Owner { uid: 1, gid: 1 };
        let elsewhere = IdPool { first, size: 3 };
        assert_eq!(lock.renew(elsewhere, ready).unwrap(), None);
        lock.give_up(Some(before.ids)).unwrap();
        assert_eq!(lock.renew(POOL, ready).unwrap(), None);
    }
}
