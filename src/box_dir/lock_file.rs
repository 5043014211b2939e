//! The file that stands for the lock of a box, open: `<locks>/<id>`, root's alone, with a record.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fchmod, fstat};

use super::kept::split;
use super::lock_error::LockError;
use super::place::{check_owner, errno, make_place, open_place};
use super::{BoxDirError, Record};
use crate::quantity::BoxId;

/// What to do when there is no lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Make it.
    Create,
    /// Report that there is none: the box was never initialized.
    Report,
}

/// The mode of lock files. Others cannot read them, since a user who may read a file can lock it.
const MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// A box's lock file, open.
#[derive(Debug)]
pub(super) struct LockFile {
    pub(super) file: File,
    /// The directory `locks`, opened.
    pub(super) place: OwnedFd,
    pub(super) locks: PathBuf,
    pub(super) id: BoxId,
}

impl LockFile {
    /// Opens the file; None when there is none and none is to be made.
    pub(super) fn open(
        locks: &Path,
        id: BoxId,
        absent: Absent,
    ) -> Result<Option<Self>, BoxDirError> {
        let (place, create) = match absent {
            Absent::Create => (Some(make_place(locks)?), OFlag::O_CREAT),
            Absent::Report => (open_place(locks)?, OFlag::empty()),
        };
        let Some(place) = place else {
            return Ok(None);
        };
        let path = locks.join(id.to_string());
        // O_NONBLOCK: the open must not wait for the other end if this is a FIFO.
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = match openat(&place, id.to_string().as_str(), flags | create, MODE) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(BoxDirError::at("open the lock file", &path)(errno)),
        };
        let stat = fstat(&file).map_err(BoxDirError::at("examine", &path))?;
        if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
            let reason = "is not a regular file";
            return Err(BoxDirError::Unfit { path, reason });
        }
        check_owner(&stat, &path)?;
        if stat.st_mode & 0o7777 != MODE.bits() {
            fchmod(&file, MODE).map_err(BoxDirError::at("change the mode of", &path))?;
        }
        Ok(Some(Self {
            file,
            place,
            locks: locks.to_owned(),
            id,
        }))
    }

    /// What it says; None when it is empty.
    pub(super) fn record(&self) -> Result<Option<Record>, LockError> {
        let mut bytes = [0; 4096];
        let length = self
            .file
            .read_at(&mut bytes, 0)
            .map_err(|error| self.failed("read the lock file", errno(&error)))?;
        if length == 0 {
            return Ok(None);
        }
        std::str::from_utf8(&bytes[..length])
            .ok()
            .and_then(|text| Record::parse(split(text).0))
            .map(Some)
            .ok_or_else(|| LockError::Garbage(self.path()))
    }

    /// Whether the file was removed after it was opened.
    pub(super) fn was_removed(&self) -> Result<bool, LockError> {
        fstat(&self.file)
            .map(|stat| stat.st_nlink == 0)
            .map_err(|errno| self.failed("examine the lock file", errno))
    }

    /// The path, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.locks.join(self.id.to_string())
    }

    /// The error of a step on this file.
    pub(super) fn failed(&self, step: &'static str, errno: Errno) -> LockError {
        LockError::Failed(BoxDirError::at(step, &self.path())(errno))
    }
}
