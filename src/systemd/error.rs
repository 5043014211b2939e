//! Why there is no scope.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::bus::BusError;
use crate::failure::Explained;
use crate::remedy::Remedy;

/// Why there is no scope.
#[derive(Debug)]
pub(crate) enum ScopeError {
    /// The timer for another try could not be made.
    Timer(nix::Error),
    /// The descriptor of the process could not be copied.
    Descriptor(io::Error),
    /// The request to systemd failed.
    Bus {
        /// The unit that was asked for.
        unit: String,
        /// Why.
        source: BusError,
    },
    /// systemd says that the job is done, but the process is not there.
    NotThere {
        /// The unit that was asked for.
        unit: String,
        /// Where it is instead.
        found: Option<PathBuf>,
    },
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timer(_) => f.write_str("cannot make a timer for the request to systemd"),
            Self::Descriptor(_) => f.write_str("cannot copy the pidfd that systemd is to get"),
            Self::Bus { unit, .. } => write!(f, "cannot start {unit}"),
            Self::NotThere { unit, found } => {
                write!(f, "systemd says that it started {unit}, but ")?;
                match found {
                    Some(found) => {
                        let found = found.display();
                        write!(f, "what it was to hold is in the cgroup '/{found}'")
                    }
                    None if !Path::new("/proc/self").exists() => {
                        write!(f, "nobody sees what it holds: {}", Remedy::MountProc)
                    }
                    None => f.write_str("what it was to hold is gone"),
                }
            }
        }
    }
}

impl std::error::Error for ScopeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Timer(error) => Some(error),
            Self::Descriptor(error) => Some(error),
            Self::Bus { source, .. } => Some(source),
            Self::NotThere { .. } => None,
        }
    }
}

impl Explained for ScopeError {}
