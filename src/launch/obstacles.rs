//! Why a program could not be executed: what lies where it should be, as the box's user sees it.
//!
//! init looks, in the sandbox and with that user's rights, after execve(2) has failed. It opens
//! nothing that could block or do something, and follows no link of `/proc`.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat2, readlink};
use nix::sys::stat::{SFlag, fstat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{AccessFlags, faccessat};

use super::program_file::{Kind, kind_of};
use super::program_setup::ProgramSetup;
use crate::report::{Found, Text};
use crate::sys::credentials::act_as;

/// How many symbolic links are followed, as in the kernel (path_resolution(7)).
const LINKS: u32 = 40;
/// How much of a file is read: its headers are at its beginning.
const BEGINNING: u64 = 4096;

/// Looks for what kept the program from being executed. The calling process is in the sandbox, as
/// root.
pub(super) fn find(setup: &ProgramSetup<'_>) -> Found {
    let looked = act_as(setup.uid, setup.gid, || {
        let mut base = PathBuf::from("/box");
        if let Some(directory) = setup.directory {
            base.push(path_of(directory));
        }
        let candidates = setup.image.candidates().iter();
        let mut found = candidates.map(|candidate| look_at(&base.join(path_of(candidate))));
        let is_plain = |found: &Found| matches!(found, Found::Missing { link: None, .. });
        let first = found.next().unwrap_or(Found::Unclear);
        if is_plain(&first) {
            found.find(|other| !is_plain(other)).unwrap_or(first)
        } else {
            first
        }
    });
    // Without these rights nothing can be said, and nothing depends on it.
    looked.unwrap_or(Found::Unclear)
}

fn path_of(text: &std::ffi::CStr) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(text.to_bytes()))
}

/// What lies at an absolute path.
fn look_at(path: &Path) -> Found {
    let file = match open(path, OFlag::empty()) {
        Ok(file) => file,
        Err(_) => return first_failure(path, LINKS),
    };
    let Ok(status) = fstat(&file) else {
        return Found::Unclear;
    };
    let text = Text::of(path);
    match SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => {}
        SFlag::S_IFDIR => return Found::Directory(text),
        _ => return Found::NoFile(text),
    }
    if fstatvfs(&file).is_ok_and(|found| found.flags().contains(FsFlags::ST_NOEXEC)) {
        return Found::NoExecMount(text);
    }
    if !may_execute(&file) {
        return Found::Mode(text, status.st_mode & 0o7777);
    }
    match beginning(path).map(|bytes| kind_of(&bytes)) {
        None | Some(Kind::Alone) => Found::Unclear,
        Some(Kind::Not(format)) => Found::Format(text, format),
        Some(Kind::Needs(kind, helper)) => match open(&helper, OFlag::empty()) {
            Ok(file) if may_execute(&file) => Found::Unclear,
            other => Found::Helper {
                program: text,
                helper: Text::of(&helper),
                kind,
                is_missing: matches!(other, Err(Errno::ENOENT | Errno::ENOTDIR)),
            },
        },
    }
}

/// Opens a path as a path, which does nothing to what lies there.
fn open(path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(AT_FDCWD, path, how)
}

fn may_execute(file: &OwnedFd) -> bool {
    let flags = AtFlags::AT_EMPTY_PATH | AtFlags::AT_EACCESS;
    faccessat(file, "", AccessFlags::X_OK, flags).is_ok()
}

/// The first bytes of a regular file, if the box's user may read it.
fn beginning(path: &Path) -> Option<Vec<u8>> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    // A regular file a moment ago; even if it is something else now, this does not block.
    let opened = File::from(openat2(AT_FDCWD, path, how).ok()?);
    if !opened.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    let mut beginning = opened.take(BEGINNING);
    beginning.read_to_end(&mut bytes).ok().map(|_| bytes)
}

/// The part of a path at which its resolution fails.
fn first_failure(path: &Path, links: u32) -> Found {
    let mut so_far = PathBuf::from("/");
    for part in path.components().skip(1) {
        let before = so_far.clone();
        so_far.push(part);
        let opened = match open(&so_far, OFlag::O_NOFOLLOW) {
            Ok(opened) => opened,
            Err(Errno::ENOENT) => {
                return Found::Missing {
                    path: Text::of(path),
                    missing: Text::of(&so_far),
                    link: None,
                };
            }
            Err(Errno::EACCES) => return Found::Closed(Text::of(&before)),
            Err(Errno::ENOTDIR) => return Found::NoDirectory(Text::of(&before)),
            Err(_) => return Found::Unclear,
        };
        let Ok(status) = fstat(&opened) else {
            return Found::Unclear;
        };
        let kind = SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits());
        if kind != SFlag::S_IFLNK || open(&so_far, OFlag::empty()).is_ok() {
            continue;
        }
        let Ok(says) = readlink(&so_far) else {
            return Found::Unclear;
        };
        if links == 0 {
            return Found::Unclear;
        }
        let target = before.join(&says);
        return match first_failure(&target, links - 1) {
            Found::Missing { path, missing, .. } => Found::Missing {
                path,
                missing,
                link: Some((Text::of(&so_far), Text::of(Path::new(&says)))),
            },
            other => other,
        };
    }
    Found::Unclear
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::report::{Format, Helper};

    fn text(path: &Path) -> Text {
        Text::of(path)
    }

    #[test]
    fn the_first_part_that_does_not_exist_is_found_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("bin")).unwrap();
        symlink("../alternatives/java", at("bin/java")).unwrap();
        symlink("java", at("bin/jdk")).unwrap();
        let missing = |path: &str, missing: &str, link: Option<(&str, &str)>| Found::Missing {
            path: text(&at(path)),
            missing: text(&at(missing)),
            link: link.map(|(from, says)| (text(&at(from)), text(Path::new(says)))),
        };
        let absent = look_at(&at("bin/absent"));
        assert_eq!(absent, missing("bin/absent", "bin/absent", None));
        assert_eq!(look_at(&at("a/b/c")), missing("a/b/c", "a", None));
        let (java, alternatives) = ("bin/../alternatives/java", "bin/../alternatives");
        let link = Some(("bin/java", "../alternatives/java"));
        let found = look_at(&at("bin/java"));
        assert_eq!(found, missing(java, alternatives, link));
        let link = Some(("bin/jdk", "java"));
        assert_eq!(look_at(&at("bin/jdk")), missing(java, alternatives, link));
        symlink("loop", at("loop")).unwrap();
        assert_eq!(look_at(&at("loop")), Found::Unclear);
    }

    #[test]
    fn what_is_there_is_told_by_its_kind_its_mode_and_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let write = |name: &str, bytes: &[u8], mode: u32| {
            fs::write(at(name), bytes).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
            look_at(&at(name))
        };
        assert_eq!(look_at(dir.path()), Found::Directory(text(dir.path())));
        let below = look_at(&at("plain/x"));
        assert!(matches!(below, Found::Missing { .. }), "{below:?}");
        let plain = write("plain", b"", 0o644);
        assert_eq!(plain, Found::Mode(text(&at("plain")), 0o644));
        assert_eq!(
            look_at(&at("plain/x")),
            Found::NoDirectory(text(&at("plain")))
        );
        let data = write("data", b"hello", 0o755);
        assert_eq!(data, Found::Format(text(&at("data")), Format::Unknown));
        let script = write("script", b"#!/absent/sh\n", 0o755);
        let needs = Found::Helper {
            program: text(&at("script")),
            helper: text(Path::new("/absent/sh")),
            kind: Helper::Interpreter,
            is_missing: true,
        };
        assert_eq!(script, needs);
        assert_eq!(write("good", b"#!/bin/sh\n", 0o755), Found::Unclear);
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IXUSR).unwrap();
        assert_eq!(look_at(&at("fifo")), Found::NoFile(text(&at("fifo"))));
    }
}
