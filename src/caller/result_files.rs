//! The results of a run for programs: the meta file (`--meta`) and the report (`--report`).
//!
//! Both are opened at the very beginning, as the caller, and written in place at the end. They are
//! never replaced: clients open them beforehand and read through the same descriptor, or make them
//! in a directory where only they may write.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::Caller;
use crate::answer::Results;
use crate::barrier::Barrier;
use crate::failure::Failure;
use crate::output::write_all;
use crate::report;
use crate::request::{Common, OutputTarget};

/// Where the results go, if anywhere.
#[derive(Debug)]
pub(crate) struct ResultFiles {
    meta: Option<Target>,
    report: Option<Target>,
}

#[derive(Debug)]
struct Target {
    file: File,
    /// The caller's name for it, and its kind.
    name: String,
    /// Its path, if it is a regular file that is ours to overwrite.
    place: Option<PathBuf>,
}

impl ResultFiles {
    /// Whether the call names any.
    pub(crate) fn are_wanted(common: &Common) -> bool {
        let is_file = |target: &Option<_>| matches!(target, Some(OutputTarget::File(_)));
        is_file(&common.meta) || is_file(&common.report)
    }

    /// Opens and empties what `--meta` and `--report` name, with the caller's rights. `boxes` is
    /// the directory of all boxes, below which programs may have written.
    pub(crate) fn open(common: &Common, caller: Caller, boxes: &Path) -> Result<Self, Failure> {
        let open = |target: &Option<OutputTarget>, what| match target {
            None => Ok(None),
            Some(OutputTarget::Stdout) => Target::stdout(what).map(Some),
            Some(OutputTarget::File(path)) => Target::open(path, what, caller, boxes).map(Some),
        };
        Ok(Self {
            meta: open(&common.meta, "meta file")?,
            report: open(&common.report, "report")?,
        })
    }

    /// Writes the results.
    pub(crate) fn write(self, results: &Results) -> Result<(), Failure> {
        let write = |target: Option<Target>, text| match target {
            Some(target) => target.write(text),
            None => Ok(()),
        };
        write(self.meta, &results.meta).and(write(self.report, &results.report))
    }

    /// Writes that the call was refused, or failed before there was a run.
    pub(crate) fn write_failure(self, failure: &Failure) -> Result<(), Failure> {
        let meta = self.meta.map_or(Ok(()), |target| {
            target.write(&report::meta::format_failure(failure.text()))
        });
        meta.and(self.report.map_or(Ok(()), |target| {
            target.write(&report::json::format_failure(failure.text()))
        }))
    }
}

/// Empties a file for results as [`ResultFiles::open`] does, if possible. Leaves anything but a
/// file alone: opening a FIFO would wait for a reader.
pub(crate) fn empty(path: &Path, caller: Caller, boxes: &Path) {
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return;
    }
    drop(Target::open(path, "meta file", caller, boxes));
}

impl Target {
    fn stdout(what: &str) -> Result<Self, Failure> {
        let name = format!("{what} on standard output");
        let file = io::stdout().as_fd().try_clone_to_owned();
        Ok(Self {
            file: file
                .map_err(Failure::at(&format!("cannot open the {name}")))?
                .into(),
            name,
            place: None,
        })
    }

    fn open(path: &Path, what: &str, caller: Caller, boxes: &Path) -> Result<Self, Failure> {
        let name = format!("{what} '{}'", path.display());
        let step = format!("cannot open the {name}");
        let failed = Failure::at(&step);
        let opened = caller.with_rights(|| create(path, boxes, caller.uid));
        let file = opened.and_then(|opened| opened).map_err(&failed)?;
        let is_regular = file.metadata().map_err(&failed)?.is_file();
        Ok(Self {
            place: is_regular
                .then(|| place(&file))
                .transpose()
                .map_err(failed)?,
            file,
            name,
        })
    }

    /// Writes the text. In a box the program could reach the file: what it wrote there is cut off,
    /// and its own file in the place of ours is an error.
    fn write(self, text: &str) -> Result<(), Failure> {
        let step = format!("cannot write the {}", self.name);
        let failed = Failure::at(&step);
        if let Some(before) = self.place {
            if place(&self.file).map_err(&failed)? != before {
                return Err(Failure::new(format!(
                    "the {} was removed or renamed during the run",
                    self.name
                )));
            }
            self.file.set_len(0).map_err(&failed)?;
        }
        write_all(&self.file, text.as_bytes()).map_err(failed)
    }
}

/// Opens a file for writing, and makes or empties it. Below `boxes` it follows no symbolic link: a
/// program may have made one, and root would write where it leads. The caller is the user `uid`.
fn create(path: &Path, boxes: &Path, uid: u32) -> io::Result<File> {
    if !Barrier::ResultFilesInside.stands() {
        return File::create(path);
    }
    let Ok(boxes) = File::open(boxes).and_then(|boxes| boxes.metadata()) else {
        return create_outside(path, uid);
    };
    let full = match path.is_absolute() {
        true => path.to_owned(),
        false => std::env::current_dir()?.join(path),
    };
    // The path counts as it is written, and as it is after all links on the way to its directory.
    let real = full
        .parent()
        .zip(full.file_name())
        .and_then(|(parent, name)| Some(parent.canonicalize().ok()?.join(name)));
    for full in [Some(full), real].into_iter().flatten() {
        let is_boxes = |prefix: &&Path| {
            let found = prefix.metadata();
            found.is_ok_and(|found| (found.dev(), found.ino()) == (boxes.dev(), boxes.ino()))
        };
        let Some(prefix) = full.ancestors().find(is_boxes) else {
            continue;
        };
        let below = full.strip_prefix(prefix).unwrap_or(&full);
        let how = OpenHow::new()
            .flags(OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_CLOEXEC)
            .mode(Mode::from_bits_truncate(0o666))
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        return Ok(openat2(File::open(prefix)?, below, how)?.into());
    }
    create_outside(path, uid)
}

/// As many links in a row as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// The same outside of the boxes, where a program may also have made links, in a directory that it
/// was given (`rw`). Of the links in the place of the last component, only those of root and of the
/// user `uid` are followed.
fn create_outside(path: &Path, uid: u32) -> io::Result<File> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        let error = match options.custom_flags(libc::O_NOFOLLOW).open(&path) {
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => error,
            other => return other,
        };
        // This reads the link that was found to be one user's, even if another one has replaced it
        // since.
        let link = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let link = File::from(nix::fcntl::open(&path, link, Mode::empty())?);
        if fstatfs(&link)?.filesystem_type() == PROC_SUPER_MAGIC {
            // `/dev/stdout` leads there. The kernel makes these links, which lead to an open file
            // and not to a path.
            return options.custom_flags(0).open(&path);
        }
        let owner = link.metadata()?.uid();
        if owner != uid && owner != 0 {
            return Err(io::Error::other(format!(
                "'{}' is a symbolic link of another user's ({owner})",
                path.display()
            )));
        }
        let target = PathBuf::from(readlinkat(&link, "")?);
        let Some(parent) = path.parent() else {
            return Err(error);
        };
        path = parent.join(target);
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// The path of an open file as the kernel knows it now (proc_pid_fd(5)).
fn place(file: &File) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{lchown, symlink};

    use super::*;

    #[test]
    fn a_link_is_followed_unless_another_user_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let own = nix::unistd::geteuid().as_raw();
        let boxes = dir.path().join("boxes");
        std::fs::write(at("precious"), "precious").unwrap();
        symlink("precious", at("link")).unwrap();
        symlink("link", at("two")).unwrap();
        // Only root can give a link to somebody else. For any other user, a link of its own stands
        // for that.
        let uid = if own == 0 {
            lchown(at("link"), Some(12_345), None).unwrap();
            0
        } else {
            own + 1
        };
        for name in ["link", "two"] {
            let refused = create(&at(name), &boxes, uid).unwrap_err().to_string();
            assert!(refused.contains("link of another user's"), "{refused}");
        }
        assert_eq!(std::fs::read(at("precious")).unwrap(), b"precious");
        let owner = at("link").symlink_metadata().unwrap().uid();
        drop(create(&at("two"), &boxes, owner).unwrap());
        assert_eq!(std::fs::read(at("precious")).unwrap(), b"");
        drop(create(&at("new"), &boxes, uid).unwrap());
        drop(create(Path::new("/proc/self/fd/2"), &boxes, uid).unwrap());
        symlink("loop", at("loop")).unwrap();
        let error = create(&at("loop"), &boxes, own).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }
}
