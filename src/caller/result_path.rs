//! Opening a file for results by a path where a program may have made links: in the box, or in a
//! directory that it was given (`rw`).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::getuid;

use super::below::open_below;
use crate::way;

/// As many links as the kernel follows on one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

fn writing() -> OFlag {
    OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_CLOEXEC
}

fn mode() -> Mode {
    Mode::from_bits_truncate(0o666)
}

/// Opens the file `below` a directory for writing, and makes or empties it. Follows no link, and
/// does not leave the directory.
pub(super) fn create_below(dir: BorrowedFd<'_>, below: &Path) -> io::Result<File> {
    Ok(open_below(dir, below, writing(), mode())?.into())
}

/// Opens a file at a path of the calling user's for writing, and makes or empties it. Links of
/// other users, programs among them, are not followed.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    create(path, getuid().as_raw())
}

/// The same of a regular file, or of a device as /dev/null is one: whoever writes into anything
/// else may wait for its reader, and hears nobody meanwhile.
pub(crate) fn create_regular(path: &Path) -> io::Result<File> {
    let file = create_with(path, getuid().as_raw(), writing() | OFlag::O_NONBLOCK)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() && !kind.is_char_device() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

/// The same as [`create_below`] for any path. Of the links on the way and in the place of the file,
/// only those of root and of the user `uid` are followed.
pub(super) fn create(path: &Path, uid: u32) -> io::Result<File> {
    create_with(path, uid, writing())
}

fn create_with(path: &Path, uid: u32, flags: OFlag) -> io::Result<File> {
    let how = OpenHow::new().flags(flags).mode(mode());
    match openat2(
        AT_FDCWD,
        path,
        how.resolve(ResolveFlag::RESOLVE_NO_SYMLINKS),
    ) {
        Err(Errno::ELOOP) => create_over_links(path, uid, flags),
        other => Ok(other?.into()),
    }
}

/// What [`create`] does where there are links: one name after the other.
fn create_over_links(path: &Path, uid: u32, writing: OFlag) -> io::Result<File> {
    let mut dir = start_of(path)?;
    let mut names = names_of(path);
    let mut passed = PathBuf::from(if path.is_absolute() { "/" } else { "" });
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        passed.push(&name);
        let is_last = names.is_empty();
        if is_last {
            match openat(&dir, &*name, writing | OFlag::O_NOFOLLOW, mode()) {
                Err(Errno::ELOOP) => {}
                other => return Ok(other?.into()),
            }
        }
        // Whatever is decided is about what was opened, also if another thing has its name since.
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let found = openat(&dir, &*name, flags, Mode::empty())?;
        let stat = fstat(&found)?;
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFLNK {
            dir = found;
            continue;
        }
        if is_kernels(&dir, &name, &found)? {
            if is_last {
                return Ok(openat(&dir, &*name, writing, mode())?.into());
            }
            dir = openat(
                &dir,
                &*name,
                OFlag::O_PATH | OFlag::O_CLOEXEC,
                Mode::empty(),
            )?;
            continue;
        }
        if ![uid, 0].contains(&stat.st_uid) && !is_of_host(stat.st_uid) {
            return Err(io::Error::other(format!(
                "'{}' is a symbolic link of another user's ({})",
                passed.display(),
                stat.st_uid
            )));
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(Errno::ELOOP.into());
        }
        let target = PathBuf::from(readlinkat(&found, "")?);
        passed.pop();
        if target.is_absolute() {
            dir = start_of(&target)?;
            passed.push("/");
        }
        for name in names_of(&target).into_iter().rev() {
            names.push_front(name);
        }
    }
    Err(Errno::EISDIR.into())
}

/// Whether a user namespace shows this owner for root and all others of the host
/// (user_namespaces(7), "Unmapped user and group IDs"). The user may follow their links as ever,
/// and no program in a box is one of them.
fn is_of_host(uid: u32) -> bool {
    way::rootless().is_some() && uid == way::UNMAPPED
}

/// Whether the kernel has made the link, to an open file and not to a path: `/dev/stdout` leads to
/// one of these (proc_pid_fd(5)).
fn is_kernels(dir: &OwnedFd, name: &OsStr, link: &OwnedFd) -> io::Result<bool> {
    if fstatfs(link)?.filesystem_type() != PROC_SUPER_MAGIC {
        return Ok(false);
    }
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC);
    let ordinary = openat2(dir, name, how.resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS));
    Ok(ordinary.is_err_and(|errno| errno == Errno::ELOOP))
}

/// Where a path begins.
fn start_of(path: &Path) -> io::Result<OwnedFd> {
    let start = if path.is_absolute() { "/" } else { "." };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(open(start, flags, Mode::empty())?)
}

/// The names that are to be passed, `..` among them.
fn names_of(path: &Path) -> VecDeque<OsString> {
    let components = path.components();
    let names = components.filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, lchown, symlink};

    use super::*;

    /// A directory with `real/precious`, and `link`, `up/link` and `dir` leading there in several
    /// ways; and the user who may not follow them.
    fn tree() -> (tempfile::TempDir, u32) {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::create_dir(at("up")).unwrap();
        fs::write(at("real/precious"), "precious").unwrap();
        symlink("real/precious", at("link")).unwrap();
        symlink("../link", at("up/link")).unwrap();
        symlink("real", at("dir")).unwrap();
        symlink(at("dir"), at("up/dir")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let own = nix::unistd::geteuid().as_raw();
        // Only root can give a link to somebody else. For any other user, a link of its own stands
        // for that.
        if own != 0 {
            return (top, own + 1);
        }
        for name in ["link", "dir"] {
            lchown(at(name), Some(12_345), None).unwrap();
        }
        (top, 0)
    }

    #[test]
    fn a_link_is_followed_unless_another_user_made_it() {
        let (top, uid) = tree();
        let at = |name: &str| top.path().join(name);
        for name in ["link", "up/link", "up/../link"] {
            let refused = create(&at(name), uid).unwrap_err().to_string();
            assert!(refused.contains("link of another user's"), "{refused}");
        }
        assert_eq!(fs::read(at("real/precious")).unwrap(), b"precious");
        let owner = at("link").symlink_metadata().unwrap().uid();
        drop(create(&at("up/link"), owner).unwrap());
        assert_eq!(fs::read(at("real/precious")).unwrap(), b"");
        let looped = create(&at("loop"), nix::unistd::geteuid().as_raw()).unwrap_err();
        assert_eq!(looped.raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn a_link_on_the_way_is_followed_unless_another_user_made_it() {
        let (top, uid) = tree();
        let at = |name: &str| top.path().join(name);
        for name in ["dir/new", "dir/precious", "up/dir/new", "up/../dir/new"] {
            let refused = create(&at(name), uid).unwrap_err().to_string();
            assert!(refused.contains("link of another user's"), "{refused}");
        }
        assert!(!at("real/new").exists());
        let owner = at("dir").symlink_metadata().unwrap().uid();
        drop(create(&at("up/dir/new"), owner).unwrap());
        drop(create(&at("dir/../real/other"), owner).unwrap());
        assert!(at("real/new").exists() && at("real/other").exists());
        let missing = create(&at("up/dir/absent/new"), owner).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn files_without_links_and_the_kernels_links_are_opened() {
        let (top, uid) = tree();
        drop(create(&top.path().join("new"), uid).unwrap());
        drop(create(Path::new("/proc/self/fd/2"), uid).unwrap());
        drop(create(Path::new("/proc/self/../self/fd/2"), uid).unwrap());
        let through = format!("/proc/self/cwd{}/real/there", top.path().display());
        let through = through.replacen("cwd", "root", 1);
        drop(create(Path::new(&through), uid).unwrap());
        assert!(top.path().join("real/there").exists());
        assert!(create(&top.path().join("real"), uid).is_err());
    }
}
