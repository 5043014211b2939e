//! Control groups, version 2: one cgroup by its descriptor, where it comes from on this machine,
//! and the cgroups of a run with their limits and figures. Asking systemd for a scope is not done
//! here.
//!
//! A [`Cgroup`] reaches everything below its descriptor by name, and nothing above. Facts about the
//! files are from the kernel's Documentation/admin-guide/cgroup-v2.rst.

mod delegated;
pub(crate) mod hierarchy;
mod leaf;
mod pin;
mod place;
mod reading;
mod subtree;
mod whereabouts;

pub(crate) use delegated::{delegated_to, make_ready};
pub(crate) use leaf::{CpuTime, Leaf, LeafLimits, LeafUsage};
pub(crate) use place::Place;
pub(crate) use reading::Reading;
pub(crate) use subtree::{INIT, Subtree};
pub(crate) use whereabouts::Whereabouts;

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::failure::Explained;
use crate::remedy::Remedy;

/// What could not be done, to which cgroup, and why.
#[derive(Debug)]
pub(crate) struct CgroupError {
    what: String,
    source: io::Error,
}

impl CgroupError {
    fn new(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self {
            what: what.into(),
            source: source.into(),
        }
    }

    /// A change that failed, with the remedy if it is forbidden.
    fn of_change(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let error = Self::new(what, source);
        match error.source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EROFS | Errno::EACCES | Errno::EPERM) => Self {
                source: Remedy::beside(Some(Remedy::GiveCgroup), error.source),
                ..error
            },
            _ => error,
        }
    }
}

impl fmt::Display for CgroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for CgroupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Explained for CgroupError {}

/// One cgroup, held by its directory: a name that is used again later cannot be mistaken for it.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directory: OwnedFd,
    path: PathBuf,
}

const DIRECTORY: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NOFOLLOW);

impl Cgroup {
    /// Opens the cgroup at a path of the cgroup2 file system.
    pub(crate) fn open(path: &Path) -> Result<Self, CgroupError> {
        let directory = open(path, DIRECTORY, Mode::empty()).map_err(|errno| {
            CgroupError::new(
                format!("cannot open the cgroup '{}'", path.display()),
                errno,
            )
        })?;
        Ok(Self {
            directory,
            path: path.to_owned(),
        })
    }

    /// Makes a child and opens it. EEXIST is an error, since a leaf must be fresh.
    pub(crate) fn create(&self, name: &str) -> Result<Self, CgroupError> {
        let path = self.path.join(name);
        let error = |errno| {
            CgroupError::of_change(
                format!("cannot make the cgroup '{}'", path.display()),
                errno,
            )
        };
        mkdirat(&self.directory, name, Mode::from_bits_truncate(0o755)).map_err(error)?;
        let directory = openat(&self.directory, name, DIRECTORY, Mode::empty()).map_err(error)?;
        Ok(Self { directory, path })
    }

    /// Opens a child, if it is there.
    pub(crate) fn child(&self, name: &str) -> Result<Option<Self>, CgroupError> {
        let path = self.path.join(name);
        match openat(&self.directory, name, DIRECTORY, Mode::empty()) {
            Ok(directory) => Ok(Some(Self { directory, path })),
            Err(nix::errno::Errno::ENOENT) => Ok(None),
            Err(errno) => Err(CgroupError::new(
                format!("cannot open the cgroup '{}'", path.display()),
                errno,
            )),
        }
    }

    /// Opens a child or makes it; another process may make it at the same time.
    pub(crate) fn child_or_create(&self, name: &str) -> Result<Self, CgroupError> {
        if let Some(child) = self.child(name)? {
            return Ok(child);
        }
        match self.create(name) {
            Err(error) if error.source.raw_os_error() == Some(libc::EEXIST) => {
                self.child(name)?.ok_or(error)
            }
            other => other,
        }
    }

    /// Removes a child that holds no process.
    pub(crate) fn remove_child(&self, name: &str) -> Result<(), CgroupError> {
        match unlinkat(&self.directory, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(nix::errno::Errno::ENOENT) => Ok(()),
            Err(errno) => Err(CgroupError::new(
                format!(
                    "cannot remove the cgroup '{}'",
                    self.path.join(name).display()
                ),
                errno,
            )),
        }
    }

    /// Where it is, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory, for CLONE_INTO_CGROUP.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Opens a file of the cgroup for reading.
    pub(crate) fn file(&self, name: &str) -> io::Result<File> {
        Ok(File::from(openat(
            &self.directory,
            name,
            OFlag::O_RDONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?))
    }

    /// Whether the cgroup has a file, which depends on controllers and kernel.
    pub(crate) fn has(&self, name: &str) -> bool {
        nix::unistd::faccessat(
            &self.directory,
            name,
            nix::unistd::AccessFlags::F_OK,
            nix::fcntl::AtFlags::empty(),
        )
        .is_ok()
    }

    /// Reads a file of the cgroup.
    pub(crate) fn read(&self, name: &str) -> Result<String, CgroupError> {
        let mut text = String::new();
        self.file(name)
            .and_then(|mut file| file.read_to_string(&mut text))
            .map_err(|error| {
                // Whoever stops the scope removes it, too, before all of it has been read.
                let gone = match error.raw_os_error() {
                    Some(libc::ENODEV) => ", which was removed from outside",
                    _ => "",
                };
                CgroupError::new(
                    format!("cannot read {name} of {}{gone}", self.path.display()),
                    error,
                )
            })?;
        Ok(text)
    }

    /// Writes a file of the cgroup.
    pub(crate) fn write(&self, name: &str, value: &str) -> Result<(), CgroupError> {
        let error = |error: io::Error| {
            CgroupError::of_change(
                format!("cannot set {name} of {} to {value}", self.path.display()),
                error,
            )
        };
        let descriptor = openat(
            &self.directory,
            name,
            OFlag::O_WRONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| error(errno.into()))?;
        File::from(descriptor)
            .write_all(value.as_bytes())
            .map_err(error)
    }

    /// The controllers that can be enabled for children.
    pub(crate) fn controllers(&self) -> Result<Vec<String>, CgroupError> {
        Ok(self
            .read("cgroup.controllers")?
            .split_whitespace()
            .map(str::to_owned)
            .collect())
    }

    /// Enables controllers for the children. The cgroup itself must hold no process (the "no
    /// internal process" rule), unless it is the root of all.
    pub(crate) fn enable(&self, controllers: &[&str]) -> Result<(), CgroupError> {
        let enabled = self.read("cgroup.subtree_control")?;
        let missing: Vec<_> = controllers
            .iter()
            .filter(|name| !enabled.split_whitespace().any(|word| word == **name))
            .map(|name| format!("+{name}"))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            self.write("cgroup.subtree_control", &missing.join(" "))
        }
    }

    /// Moves a process here, with all its threads.
    pub(crate) fn adopt(&self, pid: i32) -> Result<(), CgroupError> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// The processes in this cgroup itself, by their numbers in the reader's PID namespace.
    pub(crate) fn processes(&self) -> Result<Vec<i32>, CgroupError> {
        Ok(self
            .read("cgroup.procs")?
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect())
    }

    /// Kills everything in the cgroup and below, including what is forked meanwhile (cgroup.kill,
    /// Linux 5.14).
    pub(crate) fn kill(&self) -> Result<(), CgroupError> {
        self.write("cgroup.kill", "1")
    }

    /// Whether any process is in the cgroup or below.
    pub(crate) fn is_populated(&self) -> Result<bool, CgroupError> {
        Ok(value_of(&self.read("cgroup.events")?, "populated") == Some(1))
    }
}

/// The value of a key in a flat-keyed file such as cpu.stat or memory.events.
pub(crate) fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

/// What a file of any content goes through; see `src/lib.rs`.
#[cfg(fuzzing)]
pub(crate) fn read_any(text: &str) {
    hierarchy::read_any(text);
    for key in ["populated", "oom", "oom_kill", "usage_usec"] {
        value_of(text, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_keyed_files_are_read_by_whole_keys() {
        let text = "oom 1\noom_kill 2\noom_group_kill 3\n";
        assert_eq!(value_of(text, "oom"), Some(1));
        assert_eq!(value_of(text, "oom_kill"), Some(2));
        assert_eq!(value_of(text, "max"), None);
        assert_eq!(value_of("populated x\n", "populated"), None);
    }
}
