//! Boxes as they are seen by somebody who only looks: no lock is taken that a command could have to
//! wait for, and nothing is made.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::lease_link::{Link, leased_uids};
use super::lock_file::{Absent, LockFile};
use super::place::{errno, open_place};
use super::{BoxDirError, Record};
use crate::quantity::BoxId;
use crate::sys::file::lockers;

/// A box, seen.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    /// Its number.
    pub(crate) id: BoxId,
    /// What its lock file says.
    pub(crate) record: Record,
    /// When that was written last: the box was made then, or its last run began or ended.
    pub(crate) changed: Option<SystemTime>,
    /// The process that has the lock, if one has it and is in our PID namespace: the keeper of a
    /// run, or another command.
    pub(crate) locked_by: Option<i32>,
}

/// The boxes whose locks are in this directory, by their numbers. One that is being made or removed
/// just now may be among them or not.
pub(crate) fn sights(locks: &Path) -> Result<Vec<Sight>, BoxDirError> {
    let Some(place) = open_place(locks)? else {
        return Ok(Vec::new());
    };
    let mut ids = BTreeSet::new();
    for uid in leased_uids(locks)? {
        ids.extend(Link::of(&place, locks, uid).holder()?.map(|id| id.0));
    }
    // Without the list, boxes are seen all the same.
    let list = fs::read_to_string("/proc/locks").unwrap_or_default();
    Ok(ids
        .into_iter()
        .filter_map(|id| sight(locks, BoxId(id), &list))
        .collect())
}

/// One box; `None` when there is none.
pub(crate) fn sight_of(locks: &Path, id: BoxId) -> Option<Sight> {
    let list = fs::read_to_string("/proc/locks").unwrap_or_default();
    sight(locks, id, &list)
}

fn sight(locks: &Path, id: BoxId, list: &str) -> Option<Sight> {
    let file = LockFile::open(locks, id, Absent::Report).ok()??;
    let record = file.record().ok()??;
    let metadata = file.file.metadata().ok()?;
    let known = (metadata.dev(), metadata.ino());
    let locked_by = lockers(list, metadata.ino()).find(|pid| has_open(*pid, known));
    Some(Sight {
        id,
        record,
        changed: metadata.modified().ok(),
        locked_by,
    })
}

/// Whether a process has this file open, by its device and inode: the number in the list may be of
/// one that has ended, whose child keeps the lock, and be used again.
fn has_open(pid: i32, file: (u64, u64)) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
    descriptors.into_iter().flatten().flatten().any(|entry| {
        let found = fs::metadata(entry.path());
        found.is_ok_and(|found| (found.dev(), found.ino()) == file)
    })
}

/// The directories of boxes that are in no record: those from before a reboot, whose locks are
/// gone. Each comes with the owner of what is in it, and the time of its last change.
pub(crate) fn strays(root: &Path, known: &BTreeSet<u32>) -> Result<Vec<Stray>, BoxDirError> {
    if open_place(root)?.is_none() {
        return Ok(Vec::new());
    }
    let failed = |error: std::io::Error| BoxDirError::at("read", root)(errno(&error));
    let mut strays = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(id) = id.filter(|id| !known.contains(id) && *id.to_string() == *name) else {
            continue;
        };
        let path = entry.path();
        // One that is gone meanwhile is none.
        if let Ok(inner) = fs::symlink_metadata(path.join("box")) {
            strays.push(Stray {
                id: BoxId(id),
                uid: inner.uid(),
                changed: inner.modified().ok(),
                path,
            });
        }
    }
    strays.sort_by_key(|stray| stray.id.0);
    Ok(strays)
}

/// The directory of a box without a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stray {
    /// The number that it is named after.
    pub(crate) id: BoxId,
    /// The owner of `box` in it.
    pub(crate) uid: u32,
    /// When `box` was changed last.
    pub(crate) changed: Option<SystemTime>,
    /// Its path.
    pub(crate) path: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::super::{Busy, IdPool, Lock, Owner};
    use super::*;

    #[test]
    fn a_locked_box_is_seen_with_who_has_the_lock_and_one_that_is_not_without() {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path().join("locks");
        assert!(sights(&locks).unwrap().is_empty());
        assert!(!locks.exists());
        let owner = Owner { uid: 7, gid: 8 };
        let first = Owner {
            uid: 60_000,
            gid: 60_000,
        };
        let pool = IdPool { first, size: 9 };
        let claim = |id| {
            let lock = Lock::acquire(&locks, BoxId(id), Absent::Create, Busy::Refuse);
            let lock = lock.unwrap().unwrap();
            lock.claim(pool, None, owner, false).unwrap();
            lock
        };
        let lock = claim(5);
        drop(claim(3));
        let seen = sights(&locks).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let summary: Vec<_> = seen.iter().map(|s| (s.id.0, s.locked_by)).collect();
        assert_eq!(summary, [(3, None), (5, Some(own))]);
        assert!(seen.iter().all(|seen| seen.record.owner == owner));
        // Who looks is in nobody's way.
        drop(lock);
        let seen = sights(&locks).unwrap();
        assert!(seen.iter().all(|seen| seen.locked_by.is_none()));
    }

    #[test]
    fn directories_without_a_record_are_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["1", "2", "03", "x"] {
            fs::create_dir_all(dir.path().join(name).join("box")).unwrap();
        }
        fs::create_dir(dir.path().join("4")).unwrap();
        let strays = strays(dir.path(), &BTreeSet::from([1])).unwrap();
        let ids: Vec<_> = strays.iter().map(|stray| stray.id.0).collect();
        assert_eq!(ids, [2]);
    }
}
