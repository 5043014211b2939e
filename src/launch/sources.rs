//! The sources of directory rules, as trees that can be mounted. What the caller named was opened
//! with the caller's rights; what the administrator configured is opened here, with ours.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};

use super::foreign_mounts::{self, ForeignError};
use super::id_map::IdMap;
use super::root::{Mount, MountSource};
use crate::barrier::Barrier;
use crate::box_dir::{BoxDir, BoxDirError, Handover};
use crate::caller::Caller;
use crate::caller::OpenedDirs;
use crate::dir_rule::{DirFlags, DirRule, Source};
use crate::failure::Explained;
use crate::quantity::Ids;
use crate::remedy::Remedy;
use crate::sys::file::is_directory;
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

impl Explained for SourceError {}

/// Where the sources of rules are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    /// What the caller named.
    pub(crate) opened: &'a OpenedDirs,
    /// Who that is.
    pub(crate) caller: Caller,
    /// The box.
    pub(crate) box_dir: &'a BoxDir,
    /// Whose the files in it are on disk.
    pub(crate) owner: Ids,
    /// The ids that its programs have.
    pub(crate) ids: Ids,
}

impl Sources<'_> {
    /// Copies the trees of all rules, and maps the ids of those that are the owner's of the box or
    /// the caller's, if that is `wanted` and possible; says how the files of the box become the
    /// program's. A rule that says `maybe` and has no source becomes `None`, so that the others
    /// keep their numbers.
    pub(crate) fn copy_trees(
        self,
        rules: &[DirRule],
        wanted: Handover,
    ) -> Result<(Vec<Option<Mount>>, Handover), SourceError> {
        let mut mounts = self.copy_all(rules)?;
        let mut map = None;
        let mut handover = Handover::Given;
        if wanted == Handover::IdMapped {
            let made = IdMap::exchanging(self.owner, self.ids);
            let mapped = made.and_then(|made| map_box(rules, &mounts, map.insert(made)));
            match mapped {
                Ok(()) => handover = Handover::IdMapped,
                Err(error) => {
                    log::info!(
                        "the files of the box are given to the program: ids cannot be mapped: {error}"
                    );
                    // A map stays for good, and some may have one. The others are not copied anew:
                    // the kernel waits for a grace period when a copy is let go of.
                    for (rule, mount) in rules
                        .iter()
                        .zip(&mut mounts)
                        .filter(|(rule, _)| is_of_box(rule))
                    {
                        *mount = copy_tree(rule, self)?;
                    }
                }
            }
        }
        let of_host = |rule: &DirRule| matches!(rule.source, Source::Host(_));
        for (rule, tree) in trees(rules, &mounts).filter(|(rule, _)| of_host(rule)) {
            let is_mapped = map
                .as_ref()
                .is_some_and(|map| self.map_directory(rule, tree, map));
            if !is_mapped && log::log_enabled!(log::Level::Info) {
                look_at_owner(rule, tree, self.ids);
            }
        }
        Ok((mounts, handover))
    }

    fn copy_all(self, rules: &[DirRule]) -> Result<Vec<Option<Mount>>, SourceError> {
        rules.iter().map(|rule| copy_tree(rule, self)).collect()
    }

    /// Maps the ids of a writable directory that the caller named and owns, if its file systems
    /// can; whether it is so. `of_box` is the map for the owner of the box.
    fn map_directory(self, rule: &DirRule, tree: BorrowedFd<'_>, of_box: &IdMap) -> bool {
        let user = self.caller.ids();
        let is_theirs = user.uid != 0
            && rule.flags.writable
            && self.opened.get(&rule.inside).is_some()
            && fstat(tree).is_ok_and(|found| found.st_uid == user.uid);
        if !is_theirs {
            return false;
        }
        let mapped = if user == self.owner {
            map_tree(rule, tree, of_box)
        } else {
            IdMap::exchanging(user, self.ids).and_then(|map| map_tree(rule, tree, &map))
        };
        if let Err(error) = &mapped {
            log::info!("ids are not mapped on '{}': {error}", rule.inside.display());
        }
        mapped.is_ok()
    }
}

/// The trees of the host, each with its rule.
fn trees<'a>(
    rules: &'a [DirRule],
    mounts: &'a [Option<Mount>],
) -> impl Iterator<Item = (&'a DirRule, BorrowedFd<'a>)> {
    let both = rules.iter().zip(mounts);
    both.filter_map(|(rule, mount)| match &mount.as_ref()?.source {
        MountSource::Tree { tree, .. } => Some((rule, tree.as_fd())),
        MountSource::FileSystem(_) => None,
    })
}

/// Maps the ids of all that is shown of the box but its temporary directories, which nobody else
/// gets.
fn map_box(rules: &[DirRule], mounts: &[Option<Mount>], map: &IdMap) -> io::Result<()> {
    let mut of_box = trees(rules, mounts).filter(|(rule, _)| is_of_box(rule));
    of_box.try_for_each(|(rule, tree)| map_tree(rule, tree, map))
}

/// Whether a rule shows a part of the box.
fn is_of_box(rule: &DirRule) -> bool {
    matches!(rule.source, Source::BoxDir(_))
}

fn map_tree(rule: &DirRule, tree: BorrowedFd<'_>, map: &IdMap) -> io::Result<()> {
    map.apply(tree, !rule.flags.not_recursive)
}

fn copy_tree(rule: &DirRule, sources: Sources<'_>) -> Result<Option<Mount>, SourceError> {
    let Sources {
        opened,
        caller,
        box_dir,
        ids,
        ..
    } = sources;
    let is_callers = matches!(&rule.source, Source::Host(_)) && opened.get(&rule.inside).is_some();
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
        Source::Host(path) => match opened.get(inside) {
            Some(Ok(theirs)) => theirs.try_clone_to_owned(),
            Some(Err(errno)) => Err(errno.into()),
            None => open_host(path),
        },
        Source::BoxDir(path) => caller
            .with_rights(|| open_in_box(box_dir, path))
            .and_then(|opened| opened),
    };
    let error = |source: io::Error| SourceError::Open {
        inside: inside.display().to_string(),
        outside: match source_path(rule) {
            Some(path) => path.display().to_string(),
            None => String::new(),
        },
        source: Remedy::beside(remedy(&source), source),
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
    let is_directory = is_directory(opened.as_fd()).map_err(error)?;
    let tree = match mount::copy_tree(opened.as_fd(), !flags.not_recursive) {
        // The mount is in another namespace than this process, or `norec` would uncover something.
        Err(failure) if failure.raw_os_error() == Some(libc::EINVAL) && is_callers => {
            copy_foreign(opened.as_fd(), *flags, sources.opened.process()).unwrap_or(Err(failure))
        }
        other => other,
    };
    let tree = tree.map_err(error)?;
    let source = MountSource::Tree { tree, is_directory };
    Ok(Some(Mount {
        inside: inside.clone(),
        source,
        flags: *flags,
    }))
}

/// What to do about a source that cannot be bound.
fn remedy(error: &io::Error) -> Option<Remedy> {
    Remedy::for_mounts(Errno::from_raw(error.raw_os_error()?))
}

/// Says to people who look (`-v`) that a directory is writable, but not for the box's user.
fn look_at_owner(rule: &DirRule, opened: BorrowedFd<'_>, ids: Ids) {
    let (true, Some(path), Ok(found)) = (rule.flags.writable, source_path(rule), fstat(opened))
    else {
        return;
    };
    let wanted = match (found.st_uid == ids.uid, found.st_gid == ids.gid) {
        (true, _) => 0o300,
        (false, true) => 0o030,
        (false, false) => 0o003,
    };
    let is_directory = found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits();
    if is_directory && found.st_mode & wanted != wanted {
        log::info!(
            "the program, which is user {0}, may not write to '{1}', unless an ACL lets it: that belongs to {2}:{3} and \
             has mode {4:04o}; let it in by: setfacl -m u:{0}:rwx {1}",
            ids.uid,
            path.display(),
            found.st_uid,
            found.st_gid,
            found.st_mode & 0o7777
        );
    }
}

/// Copies a tree of a caller's in their mount namespace. `None` if the namespace is ours, or there
/// is no other process.
fn copy_foreign(
    opened: BorrowedFd<'_>,
    flags: DirFlags,
    process: Option<BorrowedFd<'_>>,
) -> Option<io::Result<OwnedFd>> {
    let process = process?;
    match foreign_mounts::copy_tree(opened, process, !flags.not_recursive) {
        Err(ForeignError::NotForeign) => None,
        // What a mount covers may have been hidden from the caller by it (InaccessiblePaths=).
        Ok(_) if flags.not_recursive && Barrier::CallersMountsCovered.stands() => {
            Some(Err(io::Error::other(
                "the calling process has a mount namespace of its own, from which nothing is shown without what is mounted \
             below: leave 'norec' out",
            )))
        }
        other => Some(other.map_err(io::Error::other)),
    }
}

fn source_path(rule: &DirRule) -> Option<&Path> {
    match &rule.source {
        Source::Host(path) | Source::BoxDir(path) => Some(path),
        Source::FileSystem(_) | Source::Temporary => None,
    }
}

fn open_host(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Opens a path in the box. The program has written there: none of its symlinks may lead out.
fn open_in_box(box_dir: &BoxDir, path: &Path) -> io::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(if Barrier::SourcesInside.stands() {
            ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS
        } else {
            ResolveFlag::empty()
        });
    Ok(openat2(box_dir.fd(), path, how)?)
}

fn is_missing(error: &io::Error) -> bool {
    let missing = [Errno::ENOENT, Errno::ENOTDIR, Errno::EACCES];
    error
        .raw_os_error()
        .is_some_and(|errno| missing.contains(&Errno::from_raw(errno)))
}
