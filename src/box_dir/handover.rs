//! How the box becomes the program's for a run, and its owner's again.

use std::os::fd::AsFd;

use nix::sys::stat::{FileStat, Mode, fchmod, fstat, futimens};
use nix::sys::time::TimeSpec;

use super::closed::Closed;
use super::giving::{To, Whose, give, give_dir, give_dir_to};
use super::place::errno;
use super::sweep::{Moment, Sweep, sweep};
use super::{BoxDir, BoxDirError, OPEN, Owner, SpecialFiles};
use crate::barrier::Barrier;
use crate::sys::file::remove_acls;

/// The mode of `<root>/<id>` during a run, when the group is the box's: the program may see it by a
/// directory rule.
const CLOSED: u32 = 0o750;
/// Its mode during a run whose program sees none of it but `box`.
const SHUT: u32 = 0o700;

/// The time of `<root>/<id>` when there may be links and the like in the box: long ago.
const UNCLEAN: i64 = 0;

/// Whether `<root>/<id>` says that there is nothing of the kind in the box: all that the last run
/// left was given back.
pub(super) fn is_clean(door: &FileStat) -> bool {
    door.st_mtime != UNCLEAN
}

/// What makes the files in `box` the program's during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handover {
    /// Nothing on disk, where they stay their owner's: the mounts that the program sees map ids.
    IdMapped,
    /// A walk that gives them to the box user, and another one that gives them back.
    Given,
}

impl Handover {
    /// The word in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::IdMapped => "id_mapped",
            Self::Given => "given",
        }
    }
}

impl BoxDir {
    /// Before a run: closes the box to everybody but its program, and makes what is in `box` ready
    /// for it. `caller` is whose the files are between runs.
    ///
    /// [`Handover::Given`] gives everything to the box user. In a user's box, the directories
    /// become root's with the group of the box: this locks their owner out, who may have
    /// descriptors of them, and the program cannot let anybody in. [`Handover::IdMapped`] has no
    /// need of that: nothing in there is the box user's.
    pub(crate) fn give_to_program(
        &self,
        how: Handover,
        box_owner: Owner,
        caller: Owner,
        special: SpecialFiles,
    ) -> Result<(), BoxDirError> {
        let (inner, path) = self.inner()?;
        if how == Handover::IdMapped {
            // The door was opened last when the box was clean.
            let door = self.door()?;
            let since = is_clean(&door).then_some(door.st_ctime);
            Barrier::ClosedDoor.raise(|| self.open_to(None, SHUT))?;
            let closed = Closed::now(&self.door()?);
            let how = Sweep {
                owner: caller,
                special,
                moment: Moment::BeforeRun,
                since,
            };
            sweep(inner.as_fd(), &path, how)?;
            // Not where the sweep failed: the next one has to look at all.
            self.closed.set(closed);
            return Ok(());
        }
        Barrier::ClosedDoor.raise(|| self.open_to(Some(box_owner.gid), CLOSED))?;
        // The top comes first: from here on the caller cannot get in, even if they had made it
        // accessible.
        let to = match caller.uid {
            0 => To::User(box_owner),
            _ => To::Program(box_owner),
        };
        let stat = fstat(&inner).map_err(BoxDirError::at("examine", &path))?;
        give_dir_to(inner.as_fd(), to, &stat)
            .map_err(|fault| BoxDirError::at(fault.step, &path)(fault.errno))?;
        give(inner.as_fd(), &path, to, whose(box_owner, caller), special)
    }

    /// After a run: everything in `box` is the caller's again, without set-user-ID and set-group-ID
    /// bits that the program could have made, and the box is open to them.
    pub(crate) fn give_back(
        &self,
        how: Handover,
        box_owner: Owner,
        caller: Owner,
        special: SpecialFiles,
    ) -> Result<(), BoxDirError> {
        let (inner, path) = self.inner()?;
        let stat = fstat(&inner).map_err(BoxDirError::at("examine", &path))?;
        // The program may have opened it to everybody.
        if stat.st_mode & 0o7777 != 0o700 {
            fchmod(&inner, Mode::S_IRWXU).map_err(BoxDirError::at("change the mode of", &path))?;
        }
        // The walks leave the top out.
        let removed = remove_acls(inner.as_fd()).map_err(|error| errno(&error));
        let removed = removed.map_err(BoxDirError::at("remove the access control list of", &path));
        let given = match how {
            Handover::Given => {
                let whose = whose(box_owner, caller);
                give(inner.as_fd(), &path, To::User(caller), whose, special)
            }
            Handover::IdMapped => {
                let how = Sweep {
                    owner: caller,
                    special,
                    moment: Moment::AfterRun,
                    since: self.closed.take().and_then(Closed::since),
                };
                sweep(inner.as_fd(), &path, how)
            }
        };
        let given = removed.and(given);
        // The top comes last: until here the caller cannot get in. It is given even when something
        // below was not: a box that its owner is locked out of helps nobody.
        if (stat.st_uid, stat.st_gid) != (caller.uid, caller.gid) {
            give_dir(inner.as_fd(), caller)
                .map_err(BoxDirError::at("change the owner of", &path))?;
        }
        self.mark(given.is_ok() && special == SpecialFiles::Remove)?;
        self.open_to(None, OPEN)?;
        given
    }

    /// Whether others than its owner may look into `box`: they may have descriptors of what is in
    /// there, and keep them.
    pub(crate) fn is_open_to_others(&self) -> bool {
        let stat = self.inner().ok().and_then(|(inner, _)| fstat(&inner).ok());
        // Those of an access control list as well: its mask is in the bits of the group.
        stat.is_none_or(|stat| stat.st_mode & 0o077 != 0)
    }

    /// The state of `<root>/<id>`.
    fn door(&self) -> Result<FileStat, BoxDirError> {
        fstat(self.fd()).map_err(BoxDirError::at("examine", self.path()))
    }

    /// Notes whether there are links and the like in the box, as far as its program could make
    /// them: in the time of `<root>/<id>`, which nobody else can change.
    fn mark(&self, is_clean: bool) -> Result<(), BoxDirError> {
        if self::is_clean(&self.door()?) == is_clean {
            return Ok(());
        }
        let time = match is_clean {
            true => TimeSpec::UTIME_NOW,
            false => TimeSpec::new(UNCLEAN, 0),
        };
        futimens(self.fd(), &TimeSpec::UTIME_OMIT, &time)
            .map_err(BoxDirError::at("change the time of", self.path()))
    }
}

/// The users whose files a caller may get or give: all users for root.
fn whose(box_owner: Owner, caller: Owner) -> Whose {
    match caller.uid {
        0 => Whose::All,
        uid => Whose::Of(uid, box_owner),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::tests::{ID, box_user, me, owner_and_mode};
    use super::*;

    #[test]
    fn a_box_whose_ids_are_mapped_is_shut_during_a_run_and_its_files_stay_whose_they_are() {
        let root = tempfile::tempdir().unwrap();
        let dir = BoxDir::create(root.path(), ID, me()).unwrap();
        let inner = dir.path().join("box");
        fs::create_dir(inner.join("sub")).unwrap();
        fs::write(inner.join("sub/file"), "").unwrap();
        symlink("/etc/passwd", inner.join("sub/link")).unwrap();
        let (how, special) = (Handover::IdMapped, SpecialFiles::Remove);
        let before = owner_and_mode(&inner.join("sub"));
        dir.give_to_program(how, box_user(), me(), special).unwrap();
        assert_eq!(owner_and_mode(dir.path()), (me(), SHUT));
        assert_eq!(owner_and_mode(&inner.join("sub")), before);
        assert!(inner.join("sub/link").symlink_metadata().is_err());
        // This is what the program did.
        for name in [".", "sub"] {
            set_permissions(inner.join(name), Permissions::from_mode(0o3777)).unwrap();
        }
        symlink("/etc/passwd", inner.join("out")).unwrap();
        dir.give_back(how, box_user(), me(), special).unwrap();
        assert_eq!(owner_and_mode(dir.path()), (me(), OPEN));
        assert_eq!(owner_and_mode(&inner), (me(), 0o700));
        assert_eq!(owner_and_mode(&inner.join("sub")), (me(), 0o777));
        assert_eq!(owner_and_mode(&inner.join("sub/file")).0, me());
        assert!(inner.join("out").symlink_metadata().is_err());
    }

    #[test]
    fn what_a_run_was_allowed_to_leave_is_found_by_the_next_that_is_not() {
        let root = tempfile::tempdir().unwrap();
        let dir = BoxDir::create(root.path(), ID, me()).unwrap();
        let link = dir.path().join("box/link");
        let time = || dir.door().unwrap().st_mtime;
        assert_ne!(time(), UNCLEAN);
        let run = |how, special| {
            dir.give_to_program(how, box_user(), me(), special).unwrap();
            let found = link.symlink_metadata().is_ok();
            drop(symlink("/etc/passwd", &link));
            dir.give_back(how, box_user(), me(), special).unwrap();
            (found, link.symlink_metadata().is_ok(), time() == UNCLEAN)
        };
        for how in [Handover::IdMapped, Handover::Given] {
            assert_eq!(run(how, SpecialFiles::Keep), (false, true, true));
            assert_eq!(run(how, SpecialFiles::Keep), (true, true, true));
            assert_eq!(run(how, SpecialFiles::Remove), (false, false, false));
        }
    }
}
