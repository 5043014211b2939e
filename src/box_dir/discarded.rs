//! What is left of removed boxes that had many files: in the directory `.discarded` beside the
//! boxes, which nobody but root gets into, until somebody has emptied it. It is there only
//! meanwhile.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::renameat;
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::open::open_dir;
use super::place::{check_owner, errno, open_place};
use super::removal::{Mounts, Removal};
use super::tree::walk;
use super::{BoxDirError, dir_name};
use crate::quantity::BoxId;
use crate::sys::file::{IfLocked, lock_exclusively};

/// The name of the directory.
const NAME: &CStr = c".discarded";

/// How often the directory is made anew because somebody has just emptied and removed it.
const ATTEMPTS: usize = 16;

/// Moves the directory of a box there. Its number is free then.
pub(super) fn put_away(place: BorrowedFd<'_>, root: &Path, id: BoxId) -> Result<(), BoxDirError> {
    let path = root.join(id.to_string());
    let failed = BoxDirError::at("put away", &path);
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME);
    let Ok(now) = now.map(std::time::Duration::from) else {
        return Err(failed(Errno::EINVAL));
    };
    // No two have the same name: only who has its lock puts a box away.
    let new = CString::new(format!("{id}-{}", now.as_nanos())).unwrap_or_default();
    for _ in 0..ATTEMPTS {
        match mkdirat(place, NAME, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let Some(dir) = open(place, root)? else {
            continue;
        };
        match renameat(place, dir_name(id).as_c_str(), &dir, new.as_c_str()) {
            Ok(()) => return Ok(()),
            // The directory has been removed.
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Err(failed(Errno::EAGAIN))
}

/// Removes all that is there. One process at a time does that; whoever finds another at it has
/// nothing to do, or waits.
pub(crate) fn empty(root: &Path, if_locked: IfLocked) -> Result<(), BoxDirError> {
    match open_place(root)? {
        Some(place) => empty_at(place.as_fd(), root, if_locked),
        None => Ok(()),
    }
}

/// Whether there is something that nobody is removing.
pub(crate) fn is_left(root: &Path) -> bool {
    let dir = || open(open_place(root).ok()??.as_fd(), root).ok()?;
    dir().is_some_and(|dir| lock_exclusively(dir.as_fd(), IfLocked::Refuse).is_ok())
}

fn empty_at(place: BorrowedFd<'_>, root: &Path, if_locked: IfLocked) -> Result<(), BoxDirError> {
    let path = root.join(".discarded");
    // What comes after the walk and before the removal is left for the next round.
    while let Some(dir) = open(place, root)? {
        match lock_exclusively(dir.as_fd(), if_locked).map_err(|error| errno(&error)) {
            Ok(()) => {}
            Err(Errno::EWOULDBLOCK) => return Ok(()),
            Err(errno) => return Err(BoxDirError::at("lock", &path)(errno)),
        }
        walk(dir.as_fd(), &path, &mut Removal::of_all(Mounts::Detach))?;
        match unlinkat(place, NAME, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY) => {}
            Err(errno) => return Err(BoxDirError::at("remove", &path)(errno)),
        }
    }
    Ok(())
}

/// Opens the directory, if it is there.
fn open(place: BorrowedFd<'_>, root: &Path) -> Result<Option<OwnedFd>, BoxDirError> {
    let path = root.join(".discarded");
    let dir = match open_dir(place, NAME) {
        Ok(dir) => dir,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(BoxDirError::at("open", &path)(errno)),
    };
    let stat = fstat(&dir).map_err(BoxDirError::at("examine", &path))?;
    check_owner(&stat, &path)?;
    Ok(Some(dir))
}

/// Whether anything is mounted below a directory, in the mount namespace of this process; yes when
/// in doubt. In all others, mounts go with the directory that they are on (since Linux 3.18).
pub(super) fn holds_mounts(dir: BorrowedFd<'_>) -> bool {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    let mounts = std::fs::read("/proc/self/mountinfo");
    match (path, mounts) {
        (Ok(path), Ok(mounts)) => mentions(&mounts, path.as_os_str().as_bytes()),
        _ => true,
    }
}

/// Whether a list of mounts has one below a path: proc_pid_mountinfo(5), field 5. Pure.
fn mentions(mounts: &[u8], path: &[u8]) -> bool {
    let mut below = Vec::new();
    for byte in path {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => below.extend(format!("\\{byte:03o}").bytes()),
            byte => below.push(*byte),
        }
    }
    below.push(b'/');
    let mut lines = mounts.split(|byte| *byte == b'\n');
    lines.any(|line| {
        let point = line.split(|byte| *byte == b' ').nth(4);
        point.is_some_and(|point| point.starts_with(&below))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{ID, me};
    use super::super::{AT_ONCE, BoxDir};
    use super::*;

    fn fill(dir: &BoxDir, files: usize) {
        let many = dir.path().join("box/many");
        fs::create_dir(&many).unwrap();
        for number in 0..files {
            fs::write(many.join(number.to_string()), "").unwrap();
        }
    }

    fn names(root: &Path) -> Vec<String> {
        let entries = fs::read_dir(root).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_box_with_many_files_is_out_of_the_way_at_once_and_removed_later() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let discard = |may| BoxDir::discard(root, ID, Mounts::Refuse, || may).unwrap();
        discard(true);
        for (files, may) in [(10, true), (AT_ONCE + 10, false)] {
            fill(&BoxDir::create(root, ID, me()).unwrap(), files);
            discard(may);
            assert!(names(root).is_empty() && !is_left(root));
        }
        for _ in 0..2 {
            fill(&BoxDir::create(root, ID, me()).unwrap(), AT_ONCE + 10);
            discard(true);
            assert_eq!(names(root), [".discarded"]);
        }
        let stat = nix::sys::stat::stat(&root.join(".discarded")).unwrap();
        assert_eq!(stat.st_mode & 0o7777, 0o700);
        assert_eq!(names(&root.join(".discarded")).len(), 2);
        // Who is at it is not disturbed.
        let dir = open_dir(open_place(root).unwrap().unwrap().as_fd(), NAME).unwrap();
        assert!(is_left(root));
        lock_exclusively(dir.as_fd(), IfLocked::Refuse).unwrap();
        assert!(!is_left(root));
        empty(root, IfLocked::Refuse).unwrap();
        assert_eq!(names(&root.join(".discarded")).len(), 2);
        drop(dir);
        empty(root, IfLocked::Wait).unwrap();
        assert!(names(root).is_empty());
    }

    #[test]
    fn a_mount_below_a_path_is_found_and_none_beside_it() {
        let list = b"22 1 0:5 / / rw - tmpfs x rw\n23 22 0:6 / /a/7/box/m rw - tmpfs x rw\n\
                     24 22 0:6 / /b\\040c/8/x rw - tmpfs x rw\n";
        for (path, found) in [
            ("/a/7", true),
            ("/a/7/box/m", false),
            ("/a/70", false),
            ("/b c/8", true),
            ("/b", false),
        ] {
            assert_eq!(mentions(list, path.as_bytes()), found, "{path}");
        }
    }
}
