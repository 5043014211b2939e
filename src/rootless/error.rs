//! Why there is no way without root, and what mends that.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::failure::Explained;
use crate::remedy::Remedy;

/// Why there is no way without root.
#[derive(Debug)]
pub(super) enum RootlessError {
    /// Nothing says where the user's files are.
    NoHome,
    /// Boxes and locks would be in the same directory, by the same names.
    OnePlace(PathBuf),
    /// The user's systemd is not there.
    NoManager {
        /// The user's name, or number.
        user: String,
        /// The directory without its sockets.
        runtime: PathBuf,
    },
    /// A file that says which ids a user has cannot be read.
    Read(&'static str, io::Error),
    /// The user has no subordinate ids.
    NoIds {
        /// The file that should have them.
        file: &'static str,
        /// The user's name, or number.
        user: String,
    },
    /// No user namespace can be made.
    Clone(io::Error),
    /// The process that is to stay in it does not.
    Stay(io::Error),
    /// A lock cannot be had.
    Lock(io::Error),
    /// A program that writes maps cannot be run.
    NoTool(&'static str, io::Error),
    /// It has refused.
    Refused {
        /// The program.
        tool: &'static str,
        /// What it has said, or how it has ended.
        said: String,
    },
    /// The namespace cannot be entered, or one for mounts cannot be made in it.
    Enter(io::Error),
    /// A directory or a lock of the user's cannot be made.
    Place(PathBuf, io::Error),
}

impl fmt::Display for RootlessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHome => f.write_str("HOME is not set to an absolute path"),
            Self::OnePlace(path) => write!(
                f,
                "boxes and locks would both be in '{}': \
                 set XDG_STATE_HOME and XDG_RUNTIME_DIR to different directories",
                path.display()
            ),
            Self::NoManager { user, runtime } => write!(
                f,
                "the systemd of user {user} does not run (neither bus nor systemd/private is in {}): {}",
                runtime.display(),
                Remedy::StartUsersManager
            ),
            Self::Read(file, _) => write!(f, "cannot read {file}"),
            Self::NoIds { file, user } => write!(
                f,
                "user {user} has no subordinate ids in {file}: {}",
                Remedy::AddSubIds
            ),
            Self::Clone(error) => {
                f.write_str("cannot make a user namespace")?;
                let remedy = match error.raw_os_error() {
                    Some(libc::ENOSPC) => Remedy::RaiseUserNamespaces,
                    _ => Remedy::AllowUserNamespaces,
                };
                write!(f, " ({remedy})")
            }
            Self::NoTool(tool, error) => {
                write!(f, "cannot run {tool}")?;
                match error.kind() {
                    io::ErrorKind::NotFound => write!(f, " ({})", Remedy::InstallUidmap),
                    _ => Ok(()),
                }
            }
            Self::Refused { tool, said } => {
                write!(f, "{tool} has refused: {said}: {}", Remedy::RepairUidmap)
            }
            Self::Enter(_) => write!(
                f,
                "cannot use the user namespace ({})",
                Remedy::AllowUserNamespaces
            ),
            Self::Stay(_) => f.write_str("cannot keep the user namespace"),
            Self::Lock(_) => f.write_str("cannot lock the user namespace"),
            Self::Place(path, _) => write!(f, "cannot make '{}'", path.display()),
        }
    }
}

impl std::error::Error for RootlessError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoHome
            | Self::OnePlace(_)
            | Self::NoManager { .. }
            | Self::NoIds { .. }
            | Self::Refused { .. } => None,
            Self::Read(_, error)
            | Self::Clone(error)
            | Self::NoTool(_, error)
            | Self::Enter(error)
            | Self::Stay(error)
            | Self::Lock(error)
            | Self::Place(_, error) => Some(error),
        }
    }
}

impl Explained for RootlessError {}
