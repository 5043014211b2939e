//! What is left of a box with many files: it is renamed away, and deleted by somebody else
//! (`units/isolate-removal.path`), so that nobody waits for that.
//!
//! The place for it is `<root>.removed`, which is never made here: who makes it has somebody empty
//! it. It is not in `<root>`, where names are the numbers of boxes.
//! Nobody but root may enter it. A process that has a directory in there open already can go on
//! making files in it; [`clearing`](super::clearing) reckons with that.
//!
//! What is put aside is no box any more: it has no lock, no record and no ids. Therefore nothing in
//! it that others could reach is the box user's ([`Removing`](super::Removing)), no quota counts
//! it, and nothing is mounted in it.
//!
//! Names are `USER.SLOT`, after the owner of the box and its number: so there is one leftover of a
//! box at a time, and there are no more than [`SLOTS`] of a user, whose boxes may have any number.
//! Whoever has that many removes the next ones at once. Nobody who removes a box waits for what
//! others have left.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, open, renameat2};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::geteuid;

use super::place::errno;
use super::{BoxDirError, dir_name};
use crate::dir_rule::unescape;
use crate::quantity::BoxId;
use crate::sys::quota::look_for_user_quotas;
use crate::way;

/// How many leftovers there are of a user at most.
const SLOTS: u32 = 16;

/// Where the leftovers of the boxes in `root` are.
pub(crate) fn leftovers_of(root: &Path) -> Option<PathBuf> {
    let mut name = root.file_name()?.to_owned();
    name.push(".removed");
    Some(root.with_file_name(name))
}

/// The place of leftovers.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) fd: OwnedFd,
    pub(super) path: PathBuf,
}

impl Place {
    /// Opens it; `None` where there is none. The last part of its path is no link.
    pub(super) fn open(root: &Path) -> Result<Option<Self>, BoxDirError> {
        // Nobody empties it for a user who does without root.
        let Some(path) = leftovers_of(root).filter(|_| way::rootless().is_none()) else {
            return Ok(None);
        };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = match open(&path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(BoxDirError::at("open", &path)(errno)),
        };
        let stat = fstat(&fd).map_err(BoxDirError::at("examine", &path))?;
        let is_roots = stat.st_uid == geteuid().as_raw();
        let reason = match (is_roots, stat.st_mode & 0o077) {
            (true, 0) => return Ok(Some(Self { fd, path })),
            (true, _) => "may be entered by others than root: chmod 0700",
            (false, _) => "does not belong to root: chown root",
        };
        Err(BoxDirError::Unfit { path, reason })
    }
}

/// Why a box is not put aside.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// There is no place for it.
    NoPlace,
    /// The place cannot be used.
    Unfit(BoxDirError),
    /// What lies there would count for whoever has the box's ids next.
    Quotas,
    /// What is mounted in the box would be hidden.
    Mounts,
    /// It could not be seen whether something is mounted in the box.
    Unseen(Errno),
    /// EEXIST: the last leftover is not deleted yet; EXDEV: the place is on another mount.
    Rename(Errno),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPlace => f.write_str("there is no place for what is left of boxes"),
            Self::Unfit(error) => error.fmt(f),
            Self::Quotas => f.write_str("quotas of users are in force"),
            Self::Mounts => f.write_str("something is mounted in it"),
            Self::Unseen(errno) => write!(f, "its mounts cannot be seen: {}", errno.desc()),
            Self::Rename(errno) => write!(f, "it cannot be renamed: {}", errno.desc()),
        }
    }
}

/// Renames the directory `dir` of the box `id` in `boxes`, which is at `root`, away, as one of
/// the user `of`. Nobody gets into it any more.
pub(super) fn put_aside(
    root: &Path,
    boxes: BorrowedFd<'_>,
    id: BoxId,
    dir: BorrowedFd<'_>,
    of: u32,
) -> Result<(), Obstacle> {
    let place = Place::open(root).map_err(Obstacle::Unfit)?;
    let place = place.ok_or(Obstacle::NoPlace)?;
    if may_have_quotas(dir) {
        return Err(Obstacle::Quotas);
    }
    match has_mounts(dir) {
        Ok(false) => {}
        Ok(true) => return Err(Obstacle::Mounts),
        Err(error) => return Err(Obstacle::Unseen(errno(&error))),
    }
    let name = Name {
        of,
        slot: id.0 % SLOTS,
    };
    renameat2(
        boxes,
        dir_name(id).as_c_str(),
        place.fd.as_fd(),
        name.to_string().as_str(),
        RenameFlags::RENAME_NOREPLACE,
    )
    .map_err(Obstacle::Rename)
}

/// Whether quotas of users are in force, as far as that can be told.
fn may_have_quotas(dir: BorrowedFd<'_>) -> bool {
    // They are off, or the file system or the kernel has none (quotactl(2)).
    let none = [libc::ESRCH, libc::ENOSYS, libc::EOPNOTSUPP, libc::EINVAL];
    match look_for_user_quotas(dir) {
        Ok(()) => true,
        Err(error) => !error
            .raw_os_error()
            .is_some_and(|code| none.contains(&code)),
    }
}

/// The name of a leftover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    of: u32,
    slot: u32,
}

impl Name {
    /// The name that this text is.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (of, slot) = text.split_once('.')?;
        let name = Self {
            of: of.parse().ok()?,
            slot: slot.parse().ok()?,
        };
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.of, self.slot)
    }
}

/// Whether something is mounted on or below a directory, in our mount namespace: in others, mounts
/// go with the directory that they are on.
fn has_mounts(dir: BorrowedFd<'_>) -> io::Result<bool> {
    let top = fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd()))?;
    let list = fs::read("/proc/self/mountinfo")?;
    Ok(has_mounts_below(&list, top.as_os_str().as_bytes()))
}

/// The same by the list of mounts (proc_pid_mountinfo(5)).
fn has_mounts_below(list: &[u8], top: &[u8]) -> bool {
    let lines = list.split(|byte| *byte == b'\n');
    let mut targets = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    targets.any(|target| {
        // The kernel writes some bytes of a path as `\ooo`, the backslash among them.
        let target = unescape(target);
        let below = target.strip_prefix(top);
        below.is_some_and(|below| below.is_empty() || below.starts_with(b"/"))
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn the_place_is_beside_the_boxes() {
        for (root, expected) in [
            (
                "/var/local/lib/isolate",
                Some("/var/local/lib/isolate.removed"),
            ),
            ("/boxes/", Some("/boxes.removed")),
            ("/", None),
            ("/a/..", None),
        ] {
            let found = leftovers_of(Path::new(root));
            assert_eq!(found.as_deref(), expected.map(Path::new), "{root}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written_and_others_are_none() {
        let name = Name { of: 1000, slot: 7 };
        assert_eq!(Name::parse(name.to_string().as_bytes()), Some(name));
        for text in ["", "7", "1000.", "01000.7", "1000.7.1", "+1.2", "a.b", "."] {
            assert_eq!(Name::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Name::parse(b"\xff.1"), None);
    }

    #[test]
    fn mounts_in_a_box_are_seen_and_those_beside_it_are_not() {
        let list = |target: &str| {
            format!(
                "21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                 30 21 0:26 / {target} rw,nosuid - fuse.x x rw\nnonsense\n"
            )
        };
        for (top, target, expected) in [
            ("/boxes/7", "/boxes/7/box/a", true),
            ("/boxes/7", "/boxes/7", true),
            ("/boxes/7", "/boxes/70/box", false),
            ("/boxes/7", "/boxes", false),
            ("/my boxes/7", "/my\\040boxes/7/box", true),
            ("/a\\b/7", "/a\\134b/7/box/c\\012d", true),
            ("/boxes/7", "/boxes\\0407/box", false),
        ] {
            let found = has_mounts_below(list(target).as_bytes(), top.as_bytes());
            assert_eq!(found, expected, "{top} {target}");
        }
        // Where /dev/pts is mounted, /dev has a mount in it; no machine mounts on this folder.
        assert!(has_mounts(File::open("/dev").unwrap().as_fd()).unwrap());
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_mounts(File::open(dir.path()).unwrap().as_fd()).unwrap());
    }
}
