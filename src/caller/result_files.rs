//! The results of a run for programs: the meta file (`--meta`) and the report (`--report`).
//!
//! Both are opened at the very beginning, as the caller, and written in place at the end. They are
//! never replaced: clients open them beforehand and read through the same descriptor, or make them
//! in a directory where only they may write.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Caller;
use super::result_path::{self, create_below};
use crate::answer::Results;
use crate::barrier::Barrier;
use crate::failure::Failure;
use crate::output::write_all;
use crate::remedy::Remedy;
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
        return result_path::create(path, uid);
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
        return create_below(File::open(prefix)?.as_fd(), below);
    }
    result_path::create(path, uid)
}

/// The path of an open file as the kernel knows it now (proc_pid_fd(5)).
fn place(file: &File) -> io::Result<PathBuf> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    path.map_err(|error| {
        // What is open is there.
        let is_without = error.kind() == io::ErrorKind::NotFound;
        Remedy::beside(is_without.then_some(Remedy::MountProc), error)
    })
}
