//! One lease: the symbolic link `uid-<uid>`, whose target is the number of the box that has it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::readlinkat;
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::place::{errno, make_place};
use super::{Absent, BoxDirError, Busy, Lock, LockError, Record};
use crate::quantity::BoxId;

/// What the name of a lease begins with.
const PREFIX: &str = "uid-";

/// The boxes that have ids. A box that is just being made or removed may be among them or not.
pub(crate) fn holders(locks: &Path) -> Result<Vec<BoxId>, BoxDirError> {
    let place = make_place(locks)?;
    let mut holders = Vec::new();
    for uid in leased_uids(locks)? {
        holders.extend(Link::of(&place, locks, uid).holder()?);
    }
    Ok(holders)
}

/// The uids that are leased.
pub(super) fn leased_uids(locks: &Path) -> Result<Vec<u32>, BoxDirError> {
    let failed = |error: io::Error| BoxDirError::at("read", locks)(errno(&error));
    let mut uids = Vec::new();
    for entry in fs::read_dir(locks).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let uid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        uids.extend(uid.and_then(|uid| uid.parse::<u32>().ok()));
    }
    Ok(uids)
}

/// The link that stands for a uid.
#[derive(Debug)]
pub(super) struct Link<'a> {
    place: &'a OwnedFd,
    locks: &'a Path,
    uid: u32,
    name: String,
}

impl<'a> Link<'a> {
    /// The link for a uid; `place` is the directory `locks`, opened.
    pub(super) fn of(place: &'a OwnedFd, locks: &'a Path, uid: u32) -> Self {
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
    pub(super) fn take(&self, id: BoxId) -> Result<bool, BoxDirError> {
        // There is a second try when the link in the way was left over and is removed: another box
        // may take the uid first.
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
    pub(super) fn holder(&self) -> Result<Option<BoxId>, BoxDirError> {
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

    /// Removes the lease of a box whose record does not have it. That box stays locked meanwhile,
    /// so that nobody makes it just then.
    fn remove_left_over(&self, holder: BoxId) -> Result<bool, BoxDirError> {
        let knows = |record: Record| record.ids.uid == self.uid;
        // This is nearly always so, and then the box need not be locked, which might be in
        // somebody's way.
        if Lock::peek(self.locks, holder).is_some_and(knows) {
            return Ok(false);
        }
        let lock = match Lock::acquire(self.locks, holder, Absent::Create, Busy::Refuse) {
            Ok(Some(lock)) => lock,
            Err(LockError::Failed(error)) => return Err(error),
            // Somebody is working on that box.
            Ok(None) | Err(LockError::Busy | LockError::Garbage(_)) => return Ok(false),
        };
        match lock.record() {
            Ok(record) if !record.is_some_and(knows) => {
                self.release(holder)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Gives up the lease if the box has it.
    pub(super) fn release(&self, holder: BoxId) -> Result<(), BoxDirError> {
        if self.holder()? == Some(holder) {
            self.remove()?;
        }
        Ok(())
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
