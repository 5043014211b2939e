//! The meta file (`--meta`): opened at the very beginning, as the caller, and written in place at the
//! end. Clients open it beforehand and read through the same descriptor, or make it in a directory in
//! which nobody but them may write: it is never replaced.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use crate::caller::Caller;
use crate::commands::Failure;
use crate::request::{MetaTarget, Request};

/// Where the meta text goes, if anywhere.
#[derive(Debug)]
pub(crate) struct MetaFile(Option<(File, String)>);

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
                // isolate's umask is 022, whatever the caller's is.
                options.write(true).create(true).truncate(true).mode(0o644);
                (
                    caller
                        .with_rights(|| options.open(path))
                        .and_then(|opened| opened),
                    path.display().to_string(),
                )
            }
        };
        match opened {
            Ok(file) => Ok(Self(Some((file, name)))),
            Err(error) => Err(Failure::at(&format!("cannot open the meta file '{name}'"))(
                error,
            )),
        }
    }

    /// Writes the text.
    pub(crate) fn write(self, text: &str) -> Result<(), Failure> {
        let Some((mut file, name)) = self.0 else {
            return Ok(());
        };
        file.write_all(text.as_bytes())
            .map_err(Failure::at(&format!("cannot write the meta file '{name}'")))
    }
}
