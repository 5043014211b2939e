//! Gives what is below a directory to another user, except files that only seem to be there.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmod, fchmodat, fstat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, geteuid, unlinkat};

use super::open::{FileId, file_id, open_entry};
use super::place::errno;
use super::tree::walk;
use super::visitor::{Fault, Found, Visitor};
use super::{BoxDirError, Owner, SpecialFiles};
use crate::barrier::Barrier;
use crate::sys::file::remove_acls;

/// Whose files a walk may give away.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose {
    /// Everybody's: the caller is root.
    All,
    /// The files of this user and of the box user. Others came here in some other way and are left
    /// alone.
    Of(u32, Owner),
}

/// Who gets what is in a box.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    /// This user gets all of it.
    User(Owner),
    /// The box user gets it for a run, except the directories: the box user reaches these by their
    /// group, and nobody else can enter them.
    Program(Owner),
}

impl To {
    fn files(self) -> Owner {
        match self {
            Self::User(owner) | Self::Program(owner) => owner,
        }
    }

    fn directories(self) -> Owner {
        match self {
            Self::User(owner) => owner,
            Self::Program(owner) => sealed_for(owner),
        }
    }
}

/// The owner of directories during a run: us, with the group of the box.
fn sealed_for(box_user: Owner) -> Owner {
    Owner {
        uid: geteuid().as_raw(),
        gid: box_user.gid,
    }
}

/// Gives everything below `top`, which is at `path`, to `to`.
///
/// A file with several names is given only when all of them are in the tree, at the last one: it is
/// not the box's file if one is outside. No name is met twice: directories that are given are
/// closed before their names are read.
pub(super) fn give(
    top: BorrowedFd<'_>,
    path: &Path,
    to: To,
    whose: Whose,
    special: SpecialFiles,
) -> Result<(), BoxDirError> {
    let mut giving = Giving {
        to,
        whose,
        special,
        names_seen: HashMap::new(),
    };
    walk(top, path, &mut giving)
}

fn is_regular(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFREG
}

/// Gives `dir` itself to `to`.
pub(super) fn give_dir(dir: BorrowedFd<'_>, to: Owner) -> Result<(), Errno> {
    fchown(
        dir,
        Some(Uid::from_raw(to.uid)),
        Some(Gid::from_raw(to.gid)),
    )
}

/// Gives a directory itself. A program that owned it could let anybody in who kept a descriptor of
/// it, past all directories above.
pub(super) fn give_dir_to(dir: BorrowedFd<'_>, to: To, stat: &FileStat) -> Result<(), Fault> {
    // The owner comes first: the old one could undo the rest.
    give_dir(dir, to.directories()).map_err(Fault::at("change the owner of"))?;
    // The list comes before the mode: while there is one, the group's bits of the mode are part of
    // it (acl(5)).
    remove_acls(dir)
        .map_err(|error| Fault::at("remove the access control list of")(errno(&error)))?;
    let mode = match to {
        To::User(_) => stat.st_mode & 0o777,
        To::Program(_) => sealed_mode(stat.st_mode),
    };
    if mode != stat.st_mode & 0o7777 {
        let mode = Mode::from_bits_truncate(mode);
        fchmod(dir, mode).map_err(Fault::at("change the mode of"))?;
    }
    Ok(())
}

/// The mode of a directory whose group gets what its owner had, while others get nothing.
fn sealed_mode(mode: u32) -> u32 {
    let owners = mode & libc::S_IRWXU;
    owners | owners >> 3
}

struct Giving {
    to: To,
    whose: Whose,
    special: SpecialFiles,
    /// For each file with several names (the key has how many): how many of them the walk found,
    /// until it has found all.
    names_seen: HashMap<(FileId, libc::nlink_t), libc::nlink_t>,
}

impl Giving {
    fn is_to_be_given(&self, stat: &FileStat) -> bool {
        match self.whose {
            Whose::All => true,
            Whose::Of(one, box_user) => {
                [one, box_user.uid].contains(&stat.st_uid) || self.is_sealed(stat, box_user)
            }
        }
    }

    /// Whether this is a directory that was made ready for a run.
    fn is_sealed(&self, stat: &FileStat, box_user: Owner) -> bool {
        let owner = sealed_for(box_user);
        stat.st_mode & libc::S_IFMT == libc::S_IFDIR
            && (stat.st_uid, stat.st_gid) == (owner.uid, owner.gid)
    }

    /// Whether a file that is not a directory needs nothing more.
    fn is_given(&self, stat: &FileStat) -> bool {
        let to = self.to.files();
        let owner = (stat.st_uid, stat.st_gid) == (to.uid, to.gid);
        owner && !(is_regular(stat) && stat.st_mode & (libc::S_ISUID | libc::S_ISGID) != 0)
    }
}

impl Visitor for Giving {
    fn begin(&mut self) {
        self.names_seen.clear();
    }

    fn enter(&mut self, dir: BorrowedFd<'_>, stat: &FileStat) -> Result<(), Fault> {
        let to = self.to.directories();
        let is_given = match self.to {
            To::User(_) => {
                (stat.st_uid, stat.st_gid) == (to.uid, to.gid) && stat.st_mode & 0o7000 == 0
            }
            // It may have an access control list.
            To::Program(_) => false,
        };
        if self.is_to_be_given(stat) && !is_given {
            give_dir_to(dir, self.to, stat)?;
        }
        Ok(())
    }

    /// Decides and does everything on one descriptor, so that all of it concerns the same file.
    fn entry(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<Found, Fault> {
        let file = open_entry(parent, name).map_err(Fault::at("open"))?;
        let stat = fstat(&file).map_err(Fault::at("examine"))?;
        match (stat.st_mode & libc::S_IFMT, self.special) {
            (libc::S_IFDIR, _) => return Ok(Found::Directory),
            (libc::S_IFREG, _) | (_, SpecialFiles::Keep) => {}
            (_, SpecialFiles::Remove) => {
                return unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)
                    .map(|()| Found::Other)
                    .map_err(Fault::at("remove"));
            }
        }
        if !self.is_to_be_given(&stat) || self.is_given(&stat) {
            return Ok(Found::Other);
        }
        if stat.st_nlink > 1 && Barrier::HardLinks.stands() {
            let key = (file_id(&stat), stat.st_nlink);
            let seen = self.names_seen.entry(key).or_default();
            *seen += 1;
            if *seen < stat.st_nlink {
                return Ok(Found::Other);
            }
            self.names_seen.remove(&key);
        }
        self.give_file(file.as_fd(), &stat)?;
        Ok(Found::Other)
    }
}

impl Giving {
    /// Gives a file that is not a directory, and clears its set-user-ID and set-group-ID bits.
    fn give_file(&self, file: BorrowedFd<'_>, stat: &FileStat) -> Result<(), Fault> {
        // The kernel clears the bits in the same step, for root too (chown(2)): at no moment does a
        // program's set-user-ID file belong to the caller.
        fchownat(
            file,
            c"",
            Some(Uid::from_raw(self.to.files().uid)),
            Some(Gid::from_raw(self.to.files().gid)),
            AtFlags::AT_EMPTY_PATH,
        )
        .map_err(Fault::at("change the owner of"))?;
        // The exception is S_ISGID of a file that its group may not execute, where it has no
        // effect.
        if is_regular(stat)
            && stat.st_mode & libc::S_ISGID != 0
            && stat.st_mode & libc::S_IXGRP == 0
        {
            // An O_PATH descriptor does not take fchmod(2); fchmodat2(2) is not in Linux 6.1.
            fchmodat(
                AT_FDCWD,
                format!("/proc/self/fd/{}", file.as_raw_fd()).as_str(),
                Mode::from_bits_truncate(stat.st_mode & 0o777),
                FchmodatFlags::FollowSymlink,
            )
            .map_err(Fault::at("change the mode of"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions, hard_link, set_permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use nix::unistd::mkfifo;

    use super::super::tests::{box_user, me, owner_and_mode};
    use super::*;

    fn give_below(path: &Path, to: Owner, whose: Whose, special: SpecialFiles) {
        let top = File::open(path).unwrap();
        give(top.as_fd(), path, To::User(to), whose, special).unwrap();
    }

    #[test]
    fn special_files_are_removed_unless_they_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("sub");
        fs::create_dir(&sub).unwrap();
        fs::write(sub.join("file"), "").unwrap();
        symlink("/etc", sub.join("link")).unwrap();
        symlink("nowhere", dir.path().join("dangling")).unwrap();
        mkfifo(&sub.join("fifo"), Mode::S_IRWXU).unwrap();
        drop(UnixListener::bind(sub.join("socket")).unwrap());
        give_below(dir.path(), me(), Whose::All, SpecialFiles::Keep);
        assert_eq!(fs::read_dir(&sub).unwrap().count(), 4);
        give_below(dir.path(), me(), Whose::All, SpecialFiles::Remove);
        assert_eq!(fs::read_dir(&sub).unwrap().count(), 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(sub.join("file").exists());
    }

    #[test]
    fn set_id_bits_do_not_come_out_of_a_box() {
        let dir = tempfile::tempdir().unwrap();
        let modes = [0o6755, 0o4711, 0o2755, 0o4644, 0o2644, 0o6000];
        for mode in modes {
            let path = dir.path().join(format!("{mode:o}"));
            fs::write(&path, "").unwrap();
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        give_below(dir.path(), me(), Whose::All, SpecialFiles::Remove);
        for mode in modes {
            let stat = fs::metadata(dir.path().join(format!("{mode:o}"))).unwrap();
            assert_eq!(stat.mode() & 0o7777, mode & 0o777);
        }
    }

    /// The set-user-ID bit shows whether a file was given, so that this test needs no rights.
    #[test]
    fn a_file_with_a_name_outside_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir_all(top.join("sub")).unwrap();
        for name in ["alone", "twice", "outside"] {
            fs::write(top.join(name), "").unwrap();
            set_permissions(top.join(name), Permissions::from_mode(0o4755)).unwrap();
        }
        hard_link(top.join("twice"), top.join("sub/twice")).unwrap();
        hard_link(top.join("outside"), top.join("sub/outside")).unwrap();
        hard_link(top.join("outside"), dir.path().join("outside")).unwrap();
        give_below(&top, me(), Whose::All, SpecialFiles::Remove);
        for (name, mode) in [("alone", 0o755), ("twice", 0o755), ("outside", 0o4755)] {
            let stat = fs::metadata(top.join(name)).unwrap();
            assert_eq!(stat.mode() & 0o7777, mode, "{name}");
        }
    }

    #[test]
    fn files_of_third_users_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        let nobody = Owner {
            uid: me().uid + 2,
            gid: me().gid + 2,
        };
        for (whose, mode) in [
            (Whose::Of(me().uid + 1, nobody), 0o4755),
            (Whose::Of(me().uid + 1, me()), 0o755),
        ] {
            set_permissions(&path, Permissions::from_mode(0o4755)).unwrap();
            give_below(dir.path(), me(), whose, SpecialFiles::Remove);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
        }
    }

    #[test]
    fn directories_are_nobody_elses_in_a_run_and_lose_their_special_bits() {
        let dir = tempfile::tempdir().unwrap();
        let (open, closed) = (dir.path().join("open"), dir.path().join("open/closed"));
        fs::create_dir_all(&closed).unwrap();
        for (path, mode) in [(&open, 0o3777), (&closed, 0o555)] {
            set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        let top = File::open(dir.path()).unwrap();
        let whose = Whose::Of(me().uid, box_user());
        let give_to = |to| give(top.as_fd(), dir.path(), to, whose, SpecialFiles::Remove);
        give_to(To::Program(box_user())).unwrap();
        let sealed = Owner {
            gid: box_user().gid,
            ..me()
        };
        assert_eq!(owner_and_mode(&open), (sealed, 0o770));
        assert_eq!(owner_and_mode(&closed), (sealed, 0o550));
        // This is what the program made.
        let made = open.join("made");
        fs::create_dir(&made).unwrap();
        set_permissions(&made, Permissions::from_mode(0o7777)).unwrap();
        give_to(To::User(me())).unwrap();
        assert_eq!(owner_and_mode(&open), (me(), 0o770));
        assert_eq!(owner_and_mode(&closed), (me(), 0o550));
        assert_eq!(owner_and_mode(&made), (me(), 0o777));
    }
}
