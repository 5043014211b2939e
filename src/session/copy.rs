//! Files that are copied into a box before a run and out of it afterwards, with the rights of the
//! caller, whose the box is then.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::caller::{create_file, open_below};
use crate::failure::Failure;
use crate::request::Copied;

/// The longest file that is copied out of a box, in bytes. One with holes costs a program nothing,
/// and its copy the whole disk.
const MOST_OUT: u64 = 1 << 30;

/// The directory of a box that a program finds as /box.
pub(super) struct Files {
    directory: OwnedFd,
    path: PathBuf,
}

impl Files {
    /// Opens it.
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        let opened = File::options()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
            .open(path);
        let what = format!("cannot open the box, '{}'", path.display());
        Ok(Self {
            directory: opened.map_err(Failure::at(&what))?.into(),
            path: path.to_owned(),
        })
    }

    /// Copies a file or a directory into the box: `--in`. `copy` copies what is in a file, which
    /// may be a pipe that nobody writes to.
    pub(super) fn bring(
        &self,
        copied: &Copied,
        copy: impl Fn(&mut File, &mut File) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let Copied { inside, outside } = copied;
        let failed = |error| {
            let what = format!("--in: cannot copy '{}' into the box", outside.display());
            Failure::at(&what)(error)
        };
        let to = self.path.join(inside);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        copy_in(outside, &to, Links::Follow, &copy).map_err(failed)
    }

    /// Copies a file out of the box: `--out`. The program may have put anything in its place.
    pub(super) fn fetch(&self, copied: &Copied) -> Result<(), Failure> {
        let Copied { inside, outside } = copied;
        let name = inside.display();
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = open_below(&self.directory, inside, flags, Mode::empty());
        let file = file.map_err(|errno| match errno {
            nix::errno::Errno::ENOENT => Failure::new(format!(
                "--out: the program left no file '{name}' in /box{}",
                self.what_is_there()
            )),
            errno => Failure::at(&format!("--out: cannot open '{name}' in the box"))(errno),
        })?;
        let mut file = File::from(file);
        let failed = |error| {
            let place = outside.display();
            Failure::at(&format!("--out: cannot copy '{name}' to '{place}'"))(error)
        };
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(Failure::new(format!(
                "--out: '{name}' in the box is no regular file: nothing else is copied"
            )));
        }
        if meta.len() > MOST_OUT {
            return Err(Failure::new(format!(
                "--out: '{name}' in the box has {} bytes, and at most {MOST_OUT} are copied: let the program write \
                 into a directory of yours instead, by --dir=NAME=DIR:rw",
                meta.len()
            )));
        }
        let was_there = outside.symlink_metadata().is_ok();
        let mut made = create_file(outside).map_err(failed)?;
        if !was_there {
            // What the usual umask leaves of it.
            let mode = Permissions::from_mode(meta.mode() & 0o755);
            made.set_permissions(mode).map_err(failed)?;
        }
        io::copy(&mut file, &mut made).map_err(failed)?;
        Ok(())
    }

    /// The names of some files in the box, for a message.
    fn what_is_there(&self) -> String {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.take(100).collect();
        names.sort();
        names.truncate(8);
        match names.as_slice() {
            [] => ", where nothing is".to_owned(),
            names => format!(", where {} is", names.join(", ")),
        }
    }
}

/// What becomes of symbolic links.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    /// What they lead to is copied.
    Follow,
    /// They are refused: somebody else may have made them in a directory that the caller names.
    Refuse,
}

/// Copies a file, or a directory with all the regular files that are in it.
fn copy_in(
    from: &Path,
    to: &Path,
    links: Links,
    copy: &dyn Fn(&mut File, &mut File) -> io::Result<()>,
) -> io::Result<()> {
    let meta = match links {
        Links::Follow => fs::metadata(from)?,
        Links::Refuse => fs::symlink_metadata(from)?,
    };
    let mode = meta.mode() & 0o777;
    if links == Links::Refuse && !meta.is_dir() && !meta.is_file() {
        let what = format!("'{}' is no regular file", from.display());
        return Err(io::Error::other(what));
    }
    if meta.is_dir() {
        match fs::DirBuilder::new().mode(mode | 0o700).create(to) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy_in(&from.join(&name), &to.join(&name), Links::Refuse, copy)?;
        }
        return Ok(());
    }
    // Nobody can interrupt open(2) of a FIFO here; who waits for what comes from it can be.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let flags = match links {
        Links::Follow => flags,
        Links::Refuse => flags | libc::O_NOFOLLOW,
    };
    let mut file = File::options().read(true).custom_flags(flags).open(from)?;
    let mut made = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(to)?;
    copy(&mut file, &mut made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(from: &mut File, to: &mut File) -> io::Result<()> {
        io::copy(from, to).map(drop)
    }

    fn copied(inside: &str, outside: &Path) -> Copied {
        Copied {
            inside: inside.into(),
            outside: outside.to_owned(),
        }
    }

    #[test]
    fn files_and_directories_go_in_with_their_modes_and_files_come_out() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = Files::of(there.path()).unwrap();
        let source = here.path().join("source");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("a"), "text").unwrap();
        files.bring(&copied("x/y", &source), all).unwrap();
        assert_eq!(fs::read(there.path().join("x/y/a")).unwrap(), b"text");
        let result = here.path().join("result");
        files.fetch(&copied("x/y/a", &result)).unwrap();
        assert_eq!(fs::read(&result).unwrap(), b"text");
        let missing = files.fetch(&copied("none", &result)).unwrap_err();
        assert!(missing.text().contains("where x is"), "{missing}");
    }

    #[test]
    fn a_link_is_followed_where_it_is_named_and_nowhere_else() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = Files::of(there.path()).unwrap();
        let source = here.path().join("source");
        fs::create_dir(&source).unwrap();
        fs::write(here.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink("../secret", source.join("link")).unwrap();
        let refused = files.bring(&copied("all", &source), all).unwrap_err();
        assert!(refused.text().contains("no regular file"), "{refused}");
        files
            .bring(&copied("one", &source.join("link")), all)
            .unwrap();
        assert_eq!(fs::read(there.path().join("one")).unwrap(), b"secret");
        assert!(!there.path().join("all/link").exists());
    }

    #[test]
    fn nothing_that_leads_out_of_the_box_is_fetched() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = Files::of(there.path()).unwrap();
        let secret = here.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        std::os::unix::fs::symlink(&secret, there.path().join("link")).unwrap();
        std::os::unix::fs::symlink(here.path(), there.path().join("folder")).unwrap();
        let fifo = there.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let result = here.path().join("result");
        let holes = File::create(there.path().join("holes")).unwrap();
        holes.set_len(MOST_OUT + 1).unwrap();
        for name in ["link", "folder/secret", "../x", "fifo", ".", "holes"] {
            assert!(files.fetch(&copied(name, &result)).is_err(), "{name}");
        }
        assert!(!result.exists());
    }
}
