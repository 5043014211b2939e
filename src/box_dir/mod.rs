//! The box on disk: `<root>/<id>` with `box`, the program's working directory, and `tmp`, which
//! holds the directories of `tmp` rules. Also the lock of a box, its record, and the lease of its
//! ids. Who may have a box, and what runs in it, is decided elsewhere.
//!
//! `<root>/<id>` and `tmp` are root's, so that nobody else can replace what is in them. `box`
//! belongs to the caller, and to the box user during a run: on disk, or only in the mounts that the
//! program sees ([`Handover`]).
//!
//! Nobody else reaches what the box user owns; a set-user-ID file there would make any user of the
//! machine the box user. Therefore `tmp` is closed, and so are, during a run, `<root>/<id>` and
//! each directory of which somebody may have kept a descriptor; see [`giving::To`].
//!
//! The content of `box` was written by the caller or by the program and is not trusted; see
//! [`tree`]. The [`Lock`] says who may use the box: callers of everything here hold it.

mod census;
mod clearing;
mod closed;
mod error;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod giving;
mod handover;
mod id_pool;
mod kept;
mod last_look;
mod lease;
mod lease_link;
mod leftover;
mod lock;
mod lock_error;
mod lock_file;
mod open;
mod place;
mod quota;
mod record;
mod removal;
mod removing;
mod renewal;
mod rotation;
mod sight;
mod stragglers;
mod sweep;
pub(crate) mod tally;
mod temporary;
mod tree;
mod usage;
mod visitor;

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, mkdirat};
use nix::unistd::{Gid, fchown, getegid};

pub(crate) use census::{CPUS, Census, open_cpus};
pub(crate) use clearing::{Cleared, Which, clear_leftovers, count_leftovers};
pub(crate) use error::BoxDirError;
pub(crate) use handover::Handover;
pub(crate) use id_pool::IdPool;
pub(crate) use kept::Kept;
pub(crate) use lease::LeaseError;
pub(crate) use lease_link::holders;
pub(crate) use leftover::leftovers_of;
pub(crate) use lock::{Busy, Lock};
pub(crate) use lock_error::LockError;
pub(crate) use lock_file::Absent;
pub(crate) use record::Record;
pub(crate) use removal::Mounts;
pub(crate) use removing::Removing;
pub(crate) use sight::{Sight, Stray, sight_of, sights, strays};
pub(crate) use stragglers::{Expected, check_unused, wait_for_stragglers};

use crate::quantity::{BoxId, Ids as Owner};
use closed::Closed;
use giving::give_dir;
use open::open_dir;
use place::{check_owner, make_place, open_place};

/// What becomes of the symbolic links, devices, FIFOs and sockets in a box before and after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpecialFiles {
    /// They stay (`--special-files`).
    Keep,
    /// They are removed.
    Remove,
}

/// The mode of `<root>/<id>` between runs: the caller passes through it to `box`.
const OPEN: u32 = 0o755;

/// The directory of a box.
#[derive(Debug)]
pub(crate) struct BoxDir {
    fd: OwnedFd,
    path: PathBuf,
    /// When a run was let in whose files stay their owner's.
    closed: Cell<Option<Closed>>,
}

impl BoxDir {
    /// Makes the directory of the box `id`, which must not exist: `box` belongs to `owner`.
    pub(crate) fn create(root: &Path, id: BoxId, owner: Owner) -> Result<Self, BoxDirError> {
        let place = make_place(root)?;
        let path = root.join(id.to_string());
        let dir = make_dir(place.as_fd(), &dir_name(id), OPEN, &path)?;
        make_dir(dir.as_fd(), c"tmp", 0o700, &path.join("tmp"))?;
        let inner_path = path.join("box");
        let inner = make_dir(dir.as_fd(), c"box", 0o700, &inner_path)?;
        give_dir(inner.as_fd(), owner)
            .map_err(BoxDirError::at("change the owner of", &inner_path))?;
        Ok(Self::new(dir, path))
    }

    /// Opens the directory of the box `id`; None when there is none.
    pub(crate) fn open(root: &Path, id: BoxId) -> Result<Option<Self>, BoxDirError> {
        let path = root.join(id.to_string());
        let Some(place) = open_place(root)? else {
            return Ok(None);
        };
        Ok(open_own(place.as_fd(), id, &path)?.map(|(fd, _)| Self::new(fd, path)))
    }

    fn new(fd: OwnedFd, path: PathBuf) -> Self {
        let closed = Cell::new(None);
        Self { fd, path, closed }
    }

    /// The path that `--init` prints.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether no program can be executed from here, whatever its mode; no when in doubt.
    pub(crate) fn forbids_programs(&self) -> bool {
        let found = nix::sys::statvfs::fstatvfs(&self.fd);
        found.is_ok_and(|found| {
            found
                .flags()
                .contains(nix::sys::statvfs::FsFlags::ST_NOEXEC)
        })
    }

    /// The directory `<root>/<id>`.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Sets the group of `<root>/<id>`, by default our own, and its mode.
    fn open_to(&self, gid: Option<u32>, mode: u32) -> Result<(), BoxDirError> {
        let gid = gid.map_or_else(getegid, Gid::from_raw);
        fchown(&self.fd, None, Some(gid))
            .map_err(BoxDirError::at("change the group of", &self.path))?;
        fchmod(&self.fd, Mode::from_bits_truncate(mode))
            .map_err(BoxDirError::at("change the mode of", &self.path))
    }

    /// The directory `box`.
    fn inner(&self) -> Result<(OwnedFd, PathBuf), BoxDirError> {
        let path = self.path.join("box");
        let inner = open_dir(self.fd(), c"box").map_err(BoxDirError::at("open", &path))?;
        Ok((inner, path))
    }
}

/// Opens the directory of the box `id` in the directory of all boxes, if it is one that was made
/// here; with its state.
fn open_own(
    place: BorrowedFd<'_>,
    id: BoxId,
    path: &Path,
) -> Result<Option<(OwnedFd, FileStat)>, BoxDirError> {
    let dir = match open_dir(place, &dir_name(id)) {
        Ok(dir) => dir,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(BoxDirError::at("open", path)(errno)),
    };
    let stat = fstat(&dir).map_err(BoxDirError::at("examine", path))?;
    check_owner(&stat, path)?;
    Ok(Some((dir, stat)))
}

/// Makes and opens the directory `name` in `parent`, with exactly this mode.
fn make_dir(
    parent: BorrowedFd<'_>,
    name: &CStr,
    mode: u32,
    path: &Path,
) -> Result<OwnedFd, BoxDirError> {
    let mode = Mode::from_bits_truncate(mode);
    mkdirat(parent, name, mode).map_err(BoxDirError::at("make the directory", path))?;
    let dir = open_dir(parent, name).map_err(BoxDirError::at("open", path))?;
    // The mode must not depend on the umask, nor on a set-group-ID bit that the parent passed on.
    fchmod(&dir, mode).map_err(BoxDirError::at("change the mode of", path))?;
    Ok(dir)
}

/// The name of a box's directory.
fn dir_name(id: BoxId) -> CString {
    CString::new(id.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions, set_permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use nix::unistd::{getegid, geteuid};

    use super::*;

    pub(super) const ID: BoxId = BoxId(7);

    const WHOLE: Removing = Removing {
        mounts: Mounts::Refuse,
        of: None,
    };

    pub(super) fn me() -> Owner {
        Owner {
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
        }
    }

    /// The user to give files to: another one when root runs the tests, who may give files away,
    /// otherwise the same.
    pub(super) fn box_user() -> Owner {
        match geteuid().is_root() {
            true => Owner {
                uid: 60_007,
                gid: 60_008,
            },
            false => me(),
        }
    }

    pub(super) fn owner_and_mode(path: &Path) -> (Owner, u32) {
        let stat = fs::symlink_metadata(path).unwrap();
        let (uid, gid) = (stat.uid(), stat.gid());
        (Owner { uid, gid }, stat.mode() & 0o7777)
    }

    #[test]
    fn a_box_lives_from_create_to_remove() {
        let root = tempfile::tempdir().unwrap();
        let boxes = root.path().join("boxes");
        assert!(BoxDir::open(&boxes, ID).unwrap().is_none());
        BoxDir::remove(&boxes, ID, WHOLE).unwrap();
        let dir = BoxDir::create(&boxes, ID, box_user()).unwrap();
        let path = boxes.join("7");
        assert_eq!(dir.path(), path);
        assert_eq!(owner_and_mode(&path), (me(), 0o755));
        assert_eq!(owner_and_mode(&path.join("tmp")), (me(), 0o700));
        assert_eq!(owner_and_mode(&path.join("box")), (box_user(), 0o700));
        let error = BoxDir::create(&boxes, ID, me()).unwrap_err().to_string();
        assert!(error.starts_with("cannot make the directory"), "{error}");
        assert!(BoxDir::open(&boxes, ID).unwrap().is_some());
        BoxDir::remove(&boxes, ID, WHOLE).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_box_goes_to_the_program_and_comes_back_closed() {
        let root = tempfile::tempdir().unwrap();
        let dir = BoxDir::create(root.path(), ID, me()).unwrap();
        let inner = dir.path().join("box");
        fs::write(inner.join("file"), "").unwrap();
        let how = Handover::Given;
        dir.give_to_program(how, box_user(), me(), SpecialFiles::Remove)
            .unwrap();
        let Owner { gid, .. } = box_user();
        assert_eq!(owner_and_mode(dir.path()), (Owner { gid, ..me() }, 0o750));
        assert_eq!(owner_and_mode(&inner).0, box_user());
        assert_eq!(owner_and_mode(&inner.join("file")).0, box_user());
        set_permissions(&inner, Permissions::from_mode(0o2777)).unwrap();
        symlink("/etc/passwd", inner.join("out")).unwrap();
        dir.give_back(how, box_user(), me(), SpecialFiles::Remove)
            .unwrap();
        assert_eq!(owner_and_mode(dir.path()), (me(), 0o755));
        assert_eq!(owner_and_mode(&inner), (me(), 0o700));
        assert_eq!(owner_and_mode(&inner.join("file")).0, me());
        assert!(inner.join("out").symlink_metadata().is_err());
    }

    #[test]
    fn what_is_not_the_directory_of_a_box_is_neither_opened_nor_removed() {
        let root = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("file"), "").unwrap();
        let path = root.path().join("7");
        symlink(other.path(), &path).unwrap();
        for error in [
            BoxDir::open(root.path(), ID).unwrap_err(),
            BoxDir::remove(root.path(), ID, WHOLE).unwrap_err(),
        ] {
            assert!(matches!(error, BoxDirError::Unfit { .. }), "{error}");
        }
        assert!(other.path().join("file").exists());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(BoxDir::remove(root.path(), ID, WHOLE).is_err());
        fs::remove_file(&path).unwrap();
        let dir = BoxDir::create(root.path(), ID, me()).unwrap();
        fs::remove_dir(path.join("box")).unwrap();
        symlink(other.path(), path.join("box")).unwrap();
        for how in [Handover::Given, Handover::IdMapped] {
            let given = dir.give_to_program(how, box_user(), me(), SpecialFiles::Keep);
            assert!(given.is_err());
        }
        BoxDir::remove(root.path(), ID, WHOLE).unwrap();
        assert!(other.path().join("file").exists());
    }

    #[test]
    fn a_quota_is_taken_away_where_there_are_none() {
        let root = tempfile::tempdir().unwrap();
        let dir = BoxDir::create(root.path(), ID, me()).unwrap();
        dir.set_quota(None, 60_007).unwrap();
    }
}
