//! The directories of `tmp` rules.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod, fstat};

use super::giving::{To, Whose, give, give_dir};
use super::open::{open_dir, open_entry};
use super::{BoxDir, BoxDirError, Owner, SpecialFiles, make_dir};

impl BoxDir {
    /// The directory of the `tmp` rule for the path `inside`. It is made when missing, and all that
    /// is in it becomes the box user's; the caller never gets it.
    pub(crate) fn temporary(
        &self,
        inside: &Path,
        box_owner: Owner,
    ) -> Result<OwnedFd, BoxDirError> {
        let tmp_path = self.path.join("tmp");
        let tmp = open_dir(self.fd(), c"tmp").map_err(BoxDirError::at("open", &tmp_path))?;
        let name = flat_name(inside);
        let path = tmp_path.join(OsStr::from_bytes(name.to_bytes()));
        if name.is_empty() || name.as_c_str() == c"." || name.as_c_str() == c".." {
            let reason = "is no name for a directory";
            return Err(BoxDirError::Unfit { path, reason });
        }
        let dir = match open_dir(tmp.as_fd(), &name) {
            Err(Errno::ENOENT) => make_dir(tmp.as_fd(), &name, 0o700, &path)?,
            dir => dir.map_err(BoxDirError::at("open", &path))?,
        };
        let stat = fstat(&dir).map_err(BoxDirError::at("examine", &path))?;
        if (stat.st_uid, stat.st_gid) != (box_owner.uid, box_owner.gid) {
            // The directory is empty, or the box's uid was changed in the configuration. The top
            // comes last, so that the next run takes an interrupted change up again.
            let special = SpecialFiles::Keep;
            give(dir.as_fd(), &path, To::User(box_owner), Whose::All, special)?;
            give_dir(dir.as_fd(), box_owner)
                .map_err(BoxDirError::at("change the owner of", &path))?;
        }
        if stat.st_mode & 0o7777 != 0o700 {
            fchmod(&dir, Mode::S_IRWXU).map_err(BoxDirError::at("change the mode of", &path))?;
        }
        open_entry(dir.as_fd(), c".").map_err(BoxDirError::at("open", &path))
    }
}

/// One name for a path. `a/b` becomes `a:b`, which no other rule can mean: a path in a rule cannot
/// contain a colon.
fn flat_name(inside: &Path) -> CString {
    let path = inside.strip_prefix("/").unwrap_or(inside);
    let bytes = path.as_os_str().as_bytes();
    let name = bytes.iter().map(|byte| match byte {
        b'/' => b':',
        byte => *byte,
    });
    CString::new(name.collect::<Vec<u8>>()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::tests::{ID, box_user, me, owner_and_mode};
    use super::*;

    #[test]
    fn temporary_directories_are_flat_and_stay_the_box_users() {
        let root = tempfile::tempdir().unwrap();
        let dir = BoxDir::create(root.path(), ID, me()).unwrap();
        let path = dir.path().join("tmp/var:cache");
        dir.temporary(Path::new("/var/cache"), box_user()).unwrap();
        assert_eq!(owner_and_mode(&path), (box_user(), 0o700));
        fs::write(path.join("kept"), "").unwrap();
        set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        dir.temporary(Path::new("var/cache"), box_user()).unwrap();
        assert_eq!(owner_and_mode(&path), (box_user(), 0o700));
        assert!(path.join("kept").exists());
        for name in ["", "/", ".", "..", "/.."] {
            let error = dir.temporary(Path::new(name), box_user()).unwrap_err();
            assert!(error.to_string().contains("no name"), "{name}: {error}");
        }
        symlink("/etc", dir.path().join("tmp/x")).unwrap();
        assert!(dir.temporary(Path::new("x"), box_user()).is_err());
    }
}
