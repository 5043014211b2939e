//! Opening what directory rules name, with the caller's rights, before anything else happens.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};

use super::root::{Mount, MountSource};
use crate::box_dir::{BoxDir, BoxDirError, Owner};
use crate::caller::Caller;
use crate::dir_rule::{DirRule, Source};
use crate::sys::mount;

/// Why the source of a rule cannot be had.
#[derive(Debug)]
pub(crate) enum SourceError {
    /// The path cannot be opened or bound.
    Open {
        /// The rule's place inside.
        inside: String,
        /// The path outside.
        outside: String,
        /// Why.
        source: io::Error,
    },
    /// The directory of a `tmp` rule cannot be made.
    Temporary(BoxDirError),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open {
                inside, outside, ..
            } => write!(f, "cannot bind '{outside}' on '{inside}'"),
            Self::Temporary(_) => f.write_str("cannot make a temporary directory"),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { source, .. } => Some(source),
            Self::Temporary(error) => Some(error),
        }
    }
}

/// Opens the sources of all rules and copies their trees; a rule that says `maybe` and has no source
/// becomes `None`, so that the rest keep their numbers.
pub(crate) fn open_sources(
    rules: &[DirRule],
    box_dir: &BoxDir,
    caller: Caller,
    ids: Owner,
) -> Result<Vec<Option<Mount>>, SourceError> {
    rules
        .iter()
        .map(|rule| open_source(rule, box_dir, caller, ids))
        .collect()
}

fn open_source(
    rule: &DirRule,
    box_dir: &BoxDir,
    caller: Caller,
    ids: Owner,
) -> Result<Option<Mount>, SourceError> {
    let DirRule {
        inside,
        source,
        flags,
    } = rule;
    let opened = match source {
        Source::FileSystem(kind) => {
            let source = MountSource::FileSystem(*kind);
            return Ok(Some(Mount {
                inside: inside.clone(),
                source,
                flags: *flags,
            }));
        }
        Source::Temporary => Ok(box_dir
            .temporary(inside, ids)
            .map_err(SourceError::Temporary)?),
        Source::Host(path) => as_caller(caller, || open_host(path)),
        Source::BoxDir(path) => as_caller(caller, || open_in_box(box_dir, path)),
    };
    let error = |source: io::Error| SourceError::Open {
        inside: inside.display().to_string(),
        outside: match source_path(rule) {
            Some(path) => path.display().to_string(),
            None => String::new(),
        },
        source,
    };
    let opened = match opened {
        Err(failure) if flags.maybe && is_missing(&failure) => {
            log::info!(
                "not binding on '{}': the source does not exist",
                inside.display()
            );
            return Ok(None);
        }
        other => other.map_err(error)?,
    };
    let kind = fstat(&opened).map_err(|errno| error(errno.into()))?;
    let is_directory =
        SFlag::from_bits_truncate(kind.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR;
    let tree = mount::copy_tree(opened.as_fd(), !flags.not_recursive).map_err(error)?;
    let source = MountSource::Tree { tree, is_directory };
    Ok(Some(Mount {
        inside: inside.clone(),
        source,
        flags: *flags,
    }))
}

fn source_path(rule: &DirRule) -> Option<&Path> {
    match &rule.source {
        Source::Host(path) | Source::BoxDir(path) => Some(path),
        Source::FileSystem(_) | Source::Temporary => None,
    }
}

fn as_caller(caller: Caller, open: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    caller.with_rights(open)?
}

fn open_host(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// The program has written in the box: no symlink of its making leads out of it.
fn open_in_box(box_dir: &BoxDir, path: &Path) -> io::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    Ok(openat2(box_dir.fd(), path, how)?)
}

fn is_missing(error: &io::Error) -> bool {
    let missing = [Errno::ENOENT, Errno::ENOTDIR, Errno::EACCES];
    error
        .raw_os_error()
        .is_some_and(|errno| missing.contains(&Errno::from_raw(errno)))
}
