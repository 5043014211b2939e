//! Walks a directory tree that a hostile program wrote and that others may be changing meanwhile.
//!
//! There is no recursion, and at most three descriptors are open, however deep the tree is: the way
//! up is `..`, checked against the identity of the directory that the walk came from. The walk
//! remembers one small record per level, and the names of the directories still to be visited. Of
//! these a visitor that removes them has no more than [`PENDING`]: the rest is read when they are
//! gone. Others have all of them, since no place in a directory is sure to be the same in another
//! descriptor, which the way up makes.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::fstat;

use super::BoxDirError;
use super::open::{FileId, file_id, make_writable, open_dir, open_parent};
use super::place::errno;
use super::visitor::{Fault, Found, Visitor};
use crate::sys::file::{dir_entries, read_dir_entries};

/// How often a walk starts over because directories were moved under its feet.
const ATTEMPTS: usize = 16;
/// How often a directory may be refilled after it was emptied before the walk gives up.
const RESCANS: usize = 1_000;
/// How many bytes of names a walk that removes remembers; beyond that, [`AT_ONCE`] for each level.
const PENDING: usize = 1 << 20;
/// How many bytes of names of one directory are remembered in any case. To read it anew for each
/// name would take long: some file systems have to pass all the places of what was removed.
const AT_ONCE: usize = 8 << 10;
/// Room for a few hundred directory entries.
pub(super) const BUFFER: usize = 32 << 10;

/// Walks over everything below `top`, which is at `path`, but not over `top` itself; or until the
/// visitor has had enough.
pub(super) fn walk(
    top: BorrowedFd<'_>,
    path: &Path,
    visitor: &mut impl Visitor,
) -> Result<(), BoxDirError> {
    let mut buffer = Vec::with_capacity(BUFFER);
    for _ in 0..ATTEMPTS {
        visitor.begin();
        let mut walk = Walk {
            path,
            names: Vec::new(),
            levels: Vec::new(),
            buffer: &mut buffer,
            rescans: 0,
        };
        match walk.run(top, visitor) {
            Ok(()) | Err(Stop::Enough) => return Ok(()),
            Err(Stop::Changed) => {}
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    Err(BoxDirError::Changing { path: path.into() })
}

/// Why a walk ended early.
enum Stop {
    /// The visitor has had enough.
    Enough,
    /// The tree is no longer what it was.
    Changed,
    /// Something failed.
    Failed(BoxDirError),
}

/// A directory between the top and where the walk is.
struct Level {
    /// Its identity, to recognize it on the way up.
    id: FileId,
    /// Where its name begins in `Walk::names`.
    name: usize,
    /// Where the names of its subdirectories that are still to be visited begin. If there is a
    /// deeper level, the last of these is the one being visited.
    pending: usize,
    /// More of them are in the directory than are remembered.
    more: bool,
    /// It may have come to where it is with all that is below ([`Visitor::may_have_come`]).
    came: bool,
}

struct Walk<'a> {
    path: &'a Path,
    /// A stack of names, each with its NUL.
    names: Vec<u8>,
    levels: Vec<Level>,
    buffer: &'a mut Vec<u8>,
    rescans: usize,
}

impl Walk<'_> {
    fn run(&mut self, top: BorrowedFd<'_>, visitor: &mut impl Visitor) -> Result<(), Stop> {
        // Opened anew: `top` may be O_PATH, and each attempt has to read it from its beginning.
        let mut here = open_dir(top, c".").map_err(|errno| self.failed("open", None, errno))?;
        let stat = fstat(&here).map_err(|errno| self.failed("examine", None, errno))?;
        self.scan(here.as_fd(), file_id(&stat), false, visitor)?;
        while let Some(level) = self.levels.last_mut() {
            if visitor.is_enough() {
                return Err(Stop::Enough);
            }
            if self.names.len() > level.pending {
                if let Some(child) = self.descend(here.as_fd(), visitor)? {
                    here = child;
                }
                continue;
            }
            if std::mem::take(&mut level.more) {
                here = open_dir(here.as_fd(), c".")
                    .map_err(|errno| self.failed("open", None, errno))?;
                self.read(here.as_fd(), visitor)?;
                continue;
            }
            let name = level.name;
            self.levels.pop();
            if let Some(parent) = self.levels.last() {
                here = open_parent(here.as_fd(), parent.id).ok_or(Stop::Changed)?;
                self.leave(here.as_fd(), name, visitor)?;
            }
        }
        Ok(())
    }

    /// Enters the last of the pending directories; None when it is gone.
    fn descend(
        &mut self,
        here: BorrowedFd<'_>,
        visitor: &mut impl Visitor,
    ) -> Result<Option<OwnedFd>, Stop> {
        let name = self.last_name();
        let child = match open_dir(here, self.name(name)) {
            Ok(child) => child,
            Err(errno) if self.rescans < RESCANS && visitor.clear(here, self.name(name), errno) => {
                self.rescans += 1;
                return Ok(None);
            }
            Err(Errno::ENOENT) => {
                self.names.truncate(name);
                return Ok(None);
            }
            // It was a directory a moment ago.
            Err(Errno::ENOTDIR | Errno::ELOOP | Errno::EAGAIN) => return Err(Stop::Changed),
            Err(errno) => return Err(self.failed("open", Some(name), errno)),
        };
        let stat = fstat(&child).map_err(|errno| self.failed("examine", Some(name), errno))?;
        let above = self.levels.last().is_some_and(|level| level.came);
        if !above && visitor.is_still(&stat) {
            self.names.truncate(name);
            return Ok(None);
        }
        if visitor.changes() {
            make_writable(child.as_fd(), &stat);
        }
        visitor
            .enter(child.as_fd(), &stat)
            .map_err(|fault| self.failed(fault.step, Some(name), fault.errno))?;
        let came = above || visitor.may_have_come(&stat);
        self.scan(child.as_fd(), file_id(&stat), came, visitor)?;
        Ok(Some(child))
    }

    /// Adds a level for the directory whose name is the last on the stack, and reads it.
    fn scan(
        &mut self,
        dir: BorrowedFd<'_>,
        id: FileId,
        came: bool,
        visitor: &mut impl Visitor,
    ) -> Result<(), Stop> {
        self.levels.push(Level {
            id,
            name: self.last_name(),
            pending: self.names.len(),
            more: false,
            came,
        });
        self.read(dir, visitor)
    }

    /// Visits the entries of the directory that the walk is in, and puts its subdirectories on the
    /// stack.
    fn read(&mut self, dir: BorrowedFd<'_>, visitor: &mut impl Visitor) -> Result<(), Stop> {
        // Each level leaves room for those below it.
        let begin = self.names.len();
        let most = begin + (PENDING.saturating_sub(begin) / 2).max(AT_ONCE);
        loop {
            match read_dir_entries(dir, self.buffer).map_err(|error| errno(&error)) {
                // ENOENT: the directory itself was removed meanwhile.
                Err(Errno::ENOENT) => return Ok(()),
                Ok(()) if self.buffer.is_empty() => return Ok(()),
                Ok(()) => {}
                Err(errno) => return Err(self.failed("list", None, errno)),
            }
            for entry in dir_entries(self.buffer) {
                if visitor.is_enough() {
                    return Err(Stop::Enough);
                }
                let found = match entry.kind {
                    libc::DT_DIR => Ok(Found::Directory),
                    kind if visitor.passes(kind) => Ok(Found::Other),
                    _ => visitor.entry(dir, entry.name),
                };
                match found {
                    Ok(Found::Other) => {}
                    Ok(Found::Directory) => {
                        self.names.extend_from_slice(entry.name.to_bytes_with_nul());
                        if visitor.removes() && self.names.len() > most {
                            if let Some(level) = self.levels.last_mut() {
                                level.more = true;
                            }
                            return Ok(());
                        }
                    }
                    Err(Fault {
                        errno: Errno::ENOENT,
                        ..
                    }) => {}
                    Err(Fault { step, errno }) => {
                        let path = self
                            .current()
                            .join(OsStr::from_bytes(entry.name.to_bytes()));
                        return Err(Stop::Failed(BoxDirError::at(step, &path)(errno)));
                    }
                }
            }
        }
    }

    /// Finishes the directory whose name begins at `name`; the walk is back in its parent.
    fn leave(
        &mut self,
        parent: BorrowedFd<'_>,
        name: usize,
        visitor: &mut impl Visitor,
    ) -> Result<(), Stop> {
        match visitor.leave(parent, self.name(name)) {
            Ok(()) => {}
            Err(fault) => match fault.errno {
                Errno::ENOENT => {}
                Errno::ENOTEMPTY if self.rescans < RESCANS => {
                    self.rescans += 1;
                    return Ok(());
                }
                errno => return Err(self.failed(fault.step, Some(name), errno)),
            },
        }
        self.names.truncate(name);
        Ok(())
    }

    /// Where the last name on the stack begins.
    fn last_name(&self) -> usize {
        let end = self.names.len().saturating_sub(1);
        self.names[..end]
            .iter()
            .rposition(|byte| *byte == 0)
            .map_or(0, |nul| nul + 1)
    }

    /// The name that begins at `at`.
    fn name(&self, at: usize) -> &CStr {
        CStr::from_bytes_until_nul(&self.names[at..]).unwrap_or_default()
    }

    /// The path of the directory that the walk is in.
    fn current(&self) -> PathBuf {
        let mut path = self.path.to_path_buf();
        for level in self.levels.iter().skip(1) {
            path.push(OsStr::from_bytes(self.name(level.name).to_bytes()));
        }
        path
    }

    /// The failure of `step` on the current directory or on the one in it whose name is at `name`.
    fn failed(&self, step: &'static str, name: Option<usize>, errno: Errno) -> Stop {
        let mut path = self.current();
        if let Some(name) = name {
            path.push(OsStr::from_bytes(self.name(name).to_bytes()));
        }
        Stop::Failed(BoxDirError::at(step, &path)(errno))
    }
}

#[cfg(test)]
mod tests;
