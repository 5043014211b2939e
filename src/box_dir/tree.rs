//! Walks a directory tree that a hostile program wrote and that others may be changing meanwhile.
//!
//! There is no recursion, and at most three descriptors are open, however deep the tree is: the way
//! up is `..`, checked against the identity of the directory that the walk came from. The walk
//! remembers one small record per level, and the names of the directories still to be visited.

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
/// Room for a few hundred directory entries.
const BUFFER: usize = 32 << 10;

/// Walks over everything below `top`, which is at `path`, but not over `top` itself.
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
            Ok(()) => return Ok(()),
            Err(Stop::Changed) => {}
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    Err(BoxDirError::Changing { path: path.into() })
}

/// Why a walk ended early.
enum Stop {
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
        while let Some(level) = self.levels.last() {
            if self.names.len() > level.pending {
                if let Some(child) = self.descend(here.as_fd(), visitor)? {
                    here = child;
                }
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

    /// Adds a level for the directory whose name is the last on the stack, visits its entries, and
    /// puts its subdirectories on the stack.
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
            came,
        });
        loop {
            match read_dir_entries(dir, self.buffer).map_err(|error| errno(&error)) {
                // ENOENT: the directory itself was removed meanwhile.
                Err(Errno::ENOENT) => return Ok(()),
                Ok(()) if self.buffer.is_empty() => return Ok(()),
                Ok(()) => {}
                Err(errno) => return Err(self.failed("list", None, errno)),
            }
            for entry in dir_entries(self.buffer) {
                let found = match entry.kind {
                    libc::DT_DIR => Ok(Found::Directory),
                    kind if visitor.passes(kind) => Ok(Found::Other),
                    _ => visitor.entry(dir, entry.name),
                };
                match found {
                    Ok(Found::Other) => {}
                    Ok(Found::Directory) => {
                        self.names.extend_from_slice(entry.name.to_bytes_with_nul());
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
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use nix::sys::stat::FileStat;

    use super::*;

    /// Notes every entry that it finds, and moves a directory away when it enters it.
    #[derive(Default)]
    struct Witness {
        begun: usize,
        entered: usize,
        left: Vec<String>,
        others: Vec<String>,
        moves: Vec<(PathBuf, PathBuf)>,
    }

    impl Visitor for Witness {
        fn begin(&mut self) {
            self.begun += 1;
            self.entered = 0;
            self.left.clear();
            self.others.clear();
        }

        fn enter(&mut self, _dir: BorrowedFd<'_>, _stat: &FileStat) -> Result<(), Fault> {
            self.entered += 1;
            if let Some((from, to)) = self.moves.pop() {
                fs::rename(from, to).unwrap();
            }
            Ok(())
        }

        fn entry(&mut self, _parent: BorrowedFd<'_>, name: &CStr) -> Result<Found, Fault> {
            self.others.push(name.to_str().unwrap().to_owned());
            Ok(Found::Other)
        }

        fn leave(&mut self, _parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
            self.left.push(name.to_str().unwrap().to_owned());
            Ok(())
        }
    }

    fn walk_over(path: &Path, witness: &mut Witness) -> Result<(), BoxDirError> {
        let top = File::open(path).unwrap();
        walk(top.as_fd(), path, witness)
    }

    #[test]
    fn everything_below_the_top_is_visited_once_and_children_are_left_before_parents() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        fs::create_dir_all(dir.path().join("a/d")).unwrap();
        symlink("/", dir.path().join("a/b/link")).unwrap();
        fs::write(dir.path().join("a/d/file"), "").unwrap();
        let mut witness = Witness::default();
        walk_over(dir.path(), &mut witness).unwrap();
        assert_eq!((witness.begun, witness.entered), (1, 4));
        let at = |name| witness.left.iter().position(|left| left == name).unwrap();
        assert!(at("c") < at("b") && at("b") < at("a") && at("d") < at("a"));
        witness.others.sort();
        assert_eq!(witness.others, ["file", "link"]);
    }

    #[test]
    fn a_directory_that_is_moved_away_during_the_walk_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::create_dir_all(dir.path().join("outside/secret")).unwrap();
        // On entering b (the second directory), b is moved out of the tree; in the next attempt it
        // is a.
        let mut witness = Witness {
            moves: vec![
                (top.join("a"), dir.path().join("outside/a")),
                (top.join("a/b"), dir.path().join("outside/b")),
                (top.clone(), top.clone()),
            ],
            ..Witness::default()
        };
        walk_over(&top, &mut witness).unwrap();
        assert_eq!(witness.begun, 3);
        assert_eq!(witness.entered, 0);
        assert!(dir.path().join("outside/secret").exists());
    }

    #[test]
    fn a_tree_that_never_stops_changing_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let (top, outside) = (dir.path().join("top"), dir.path().join("outside"));
        fs::create_dir_all(&top).unwrap();
        fs::create_dir_all(&outside).unwrap();
        for number in 0..ATTEMPTS {
            fs::create_dir(top.join(number.to_string())).unwrap();
        }
        struct Thief(PathBuf, PathBuf);
        impl Visitor for Thief {
            fn enter(&mut self, dir: BorrowedFd<'_>, _stat: &FileStat) -> Result<(), Fault> {
                let id = file_id(&fstat(dir).unwrap());
                for entry in fs::read_dir(&self.0).unwrap() {
                    let entry = entry.unwrap();
                    let stat = nix::sys::stat::stat(&entry.path()).unwrap();
                    if file_id(&stat) == id {
                        fs::rename(entry.path(), self.1.join(entry.file_name())).unwrap();
                    }
                }
                Ok(())
            }
            fn entry(&mut self, _parent: BorrowedFd<'_>, _name: &CStr) -> Result<Found, Fault> {
                Ok(Found::Other)
            }
        }
        let open = File::open(&top).unwrap();
        let error = walk(open.as_fd(), &top, &mut Thief(top.clone(), outside)).unwrap_err();
        assert_eq!(error, BoxDirError::Changing { path: top });
    }

    #[test]
    fn a_mount_point_ends_the_walk_and_is_named() {
        // /dev/pts is a mount point that every machine has, also in a container.
        let error = walk_over(Path::new("/dev"), &mut Witness::default()).unwrap_err();
        assert!(matches!(error, BoxDirError::MountPoint { .. }), "{error}");
    }
}
