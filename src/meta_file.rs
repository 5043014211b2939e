//! The meta file (`--meta`): opened at the very beginning, as the caller, and written in place at the
//! end. Clients open it beforehand and read through the same descriptor, or make it in a directory in
//! which nobody but them may write: it is never replaced.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use crate::caller::Caller;
use crate::commands::Failure;
use crate::request::{MetaTarget, Request};

/// Where the meta text goes, if anywhere.
#[derive(Debug)]
pub(crate) struct MetaFile(Option<Target>);

#[derive(Debug)]
struct Target {
    file: File,
    /// What the caller called it.
    name: String,
    /// Where it is, for a regular file that is ours to overwrite.
    place: Option<PathBuf>,
}

impl MetaFile {
    /// Opens and empties what `--meta` names, with the caller's rights.
    pub(crate) fn open(request: &Request, caller: Caller) -> Result<Self, Failure> {
        let (opened, name) = match &request.meta {
            None => return Ok(Self(None)),
            Some(MetaTarget::Stdout) => (
                io::stdout().as_fd().try_clone_to_owned().map(File::from),
                "standard output".to_owned(),
            ),
            Some(MetaTarget::File(path)) => {
                let mut options = File::options();
                options.write(true).create(true).truncate(true);
                (
                    caller
                        .with_rights(|| options.open(path))
                        .and_then(|opened| opened),
                    path.display().to_string(),
                )
            }
        };
        let step = format!("cannot open the meta file '{name}'");
        let cannot_open = Failure::at(&step);
        let file = opened.map_err(&cannot_open)?;
        let is_regular = file.metadata().map_err(&cannot_open)?.is_file();
        let is_ours = is_regular && matches!(request.meta, Some(MetaTarget::File(_)));
        Ok(Self(Some(Target {
            place: is_ours
                .then(|| place(&file))
                .transpose()
                .map_err(cannot_open)?,
            file,
            name,
        })))
    }

    /// Writes the text. In a box the program could reach the file: what it wrote there goes, and a file of
    /// its own in the place of ours is an error.
    pub(crate) fn write(self, text: &str) -> Result<(), Failure> {
        let Some(Target {
            mut file,
            name,
            place: before,
        }) = self.0
        else {
            return Ok(());
        };
        let step = format!("cannot write the meta file '{name}'");
        let cannot_write = Failure::at(&step);
        if let Some(before) = before {
            if place(&file).map_err(&cannot_write)? != before {
                return Err(Failure::new(format!(
                    "the meta file '{name}' was removed or renamed during the run"
                )));
            }
            file.set_len(0).map_err(&cannot_write)?;
        }
        file.write_all(text.as_bytes()).map_err(cannot_write)
    }
}

/// The path of an open file as the kernel knows it now (proc_pid_fd(5)).
fn place(file: &File) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
