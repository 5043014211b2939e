//! How a box is removed: here and now, except for what takes long, which is put aside
//! ([`leftover`](super::leftover)) where that may be.

use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::handover::is_clean;
use super::leftover::put_aside;
use super::place::open_place;
use super::removal::{Mounts, Removal};
use super::tree::walk;
use super::{BoxDir, BoxDirError, OPEN, dir_name, open_own};
use crate::quantity::BoxId;

/// How many entries are removed at once: that takes some 20 ms, which nobody notices. The rest is
/// worth a service that starts.
const MOST: u64 = 2_000;

/// How a box is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Removing {
    /// What becomes of mounts in it.
    pub(crate) mounts: Mounts,
    /// The user whose it is, if a part of it may be there when its ids are given up: no run was cut
    /// off in it, so that nothing that others can reach is the box user's.
    pub(crate) of: Option<u32>,
}

impl BoxDir {
    /// Removes the directory of the box `id` and all that is in it. A missing directory is no
    /// error.
    pub(crate) fn remove(root: &Path, id: BoxId, how: Removing) -> Result<(), BoxDirError> {
        let Some(place) = open_place(root)? else {
            return Ok(());
        };
        let path = root.join(id.to_string());
        let Some((dir, stat)) = open_own(place.as_fd(), id, &path)? else {
            return Ok(());
        };
        // From here on nobody gets in. A process that has a directory inside open already can only
        // delay.
        fchmod(&dir, Mode::S_IRWXU).map_err(BoxDirError::at("change the mode of", &path))?;
        // With another mode a run in it, or an earlier removal, has not come to its end.
        let is_at_rest = stat.st_mode & 0o7777 == OPEN && is_clean(&stat);
        let of = how.of.filter(|_| is_at_rest);
        let most = of.map_or(u64::MAX, |_| MOST);
        let mut removal = Removal::of(how.mounts, most);
        walk(dir.as_fd(), &path, &mut removal)?;
        if let (Some(of), true) = (of, removal.is_spent()) {
            match put_aside(root, place.as_fd(), id, dir.as_fd(), of) {
                Ok(()) => return Ok(()),
                Err(why) => log::debug!("all of box {id} is removed at once: {why}"),
            }
            let mut rest = Removal::of(how.mounts, u64::MAX);
            walk(dir.as_fd(), &path, &mut rest)?;
        }
        unlinkat(&place, dir_name(id).as_c_str(), UnlinkatFlags::RemoveDir)
            .map_err(BoxDirError::at("remove", &path))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::super::tests::{ID, me};
    use super::*;

    /// A box with so many files, and where its rest would be.
    fn filled(root: &Path, files: u64) -> PathBuf {
        let dir = BoxDir::create(root, ID, me()).unwrap();
        for number in 0..files {
            fs::write(dir.path().join(format!("box/{number}")), "").unwrap();
        }
        root.with_file_name("boxes.removed/1000.7")
    }

    fn removing(of: Option<u32>) -> Removing {
        Removing {
            mounts: Mounts::Refuse,
            of,
        }
    }

    fn make_place(root: &Path, mode: u32) -> PathBuf {
        let place = root.with_file_name("boxes.removed");
        fs::create_dir(&place).unwrap();
        set_permissions(&place, Permissions::from_mode(mode)).unwrap();
        place
    }

    const MANY: u64 = MOST + 500;

    #[test]
    fn the_rest_of_a_large_box_is_put_aside_once_and_a_small_one_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("boxes");
        let place = make_place(&root, 0o700);
        let rest = filled(&root, 10);
        BoxDir::remove(&root, ID, removing(Some(1000))).unwrap();
        assert!(!root.join("7").exists() && !rest.exists());
        filled(&root, MANY);
        BoxDir::remove(&root, ID, removing(Some(1000))).unwrap();
        assert!(!root.join("7").exists());
        let left = fs::read_dir(rest.join("box")).unwrap().count() as u64;
        assert!((MANY - MOST..=MANY).contains(&left), "{left}");
        // While it is there, the next one of the same box waits, and so does nobody else.
        filled(&root, MANY);
        BoxDir::remove(&root, ID, removing(Some(1000))).unwrap();
        assert!(!root.join("7").exists());
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
        filled(&root, MANY);
        BoxDir::remove(&root, ID, removing(Some(1001))).unwrap();
        assert!(!root.join("7").exists() && place.join("1001.7").exists());
    }

    #[test]
    fn nothing_is_put_aside_where_the_place_is_not_roots_alone() {
        for mode in [0o755, 0o770, 0o701] {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("boxes");
            let place = make_place(&root, mode);
            filled(&root, MANY);
            BoxDir::remove(&root, ID, removing(Some(1000))).unwrap();
            assert!(!root.join("7").exists());
            assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("boxes");
        fs::create_dir(dir.path().join("elsewhere")).unwrap();
        let closed = Permissions::from_mode(0o700);
        set_permissions(dir.path().join("elsewhere"), closed).unwrap();
        symlink("elsewhere", dir.path().join("boxes.removed")).unwrap();
        filled(&root, MANY);
        BoxDir::remove(&root, ID, removing(Some(1000))).unwrap();
        assert!(!root.join("7").exists());
        let elsewhere = fs::read_dir(dir.path().join("elsewhere"));
        assert_eq!(elsewhere.unwrap().count(), 0);
    }

    #[test]
    fn a_box_that_may_hold_something_of_its_user_is_removed_whole() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("boxes");
        let place = make_place(&root, 0o700);
        let rest = filled(&root, MANY);
        BoxDir::remove(&root, ID, removing(None)).unwrap();
        assert!(!root.join("7").exists() && !rest.exists());
        filled(&root, MANY);
        // As after files that could not be given back.
        let long_ago = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        let open = fs::File::open(root.join("7")).unwrap();
        open.set_times(long_ago).unwrap();
        BoxDir::remove(&root, ID, removing(Some(1000))).unwrap();
        assert!(!root.join("7").exists());
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
        // A removal that was cut off, which changes the time, or a run.
        for mode in [0o700, 0o750] {
            filled(&root, MANY);
            set_permissions(root.join("7"), Permissions::from_mode(mode)).unwrap();
            BoxDir::remove(&root, ID, removing(Some(1000))).unwrap();
            assert!(!root.join("7").exists());
            assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
        }
    }
}
