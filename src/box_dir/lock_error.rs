//! Why a box could not be locked.

use std::fmt;
use std::path::PathBuf;

use super::BoxDirError;

/// Why a box could not be locked, or its record could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LockError {
    /// Another process has the lock.
    Busy,
    /// The lock file is not a record of this program.
    Garbage(PathBuf),
    /// Anything else.
    Failed(BoxDirError),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("This box is currently in use by another process"),
            Self::Garbage(path) => write!(
                f,
                "the lock file '{}' was written by another program or another version: \
                 remove it when no box is in use",
                path.display()
            ),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LockError {}
