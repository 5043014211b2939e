//! Why a run got no CPUs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::box_dir::BoxDirError;
use crate::config::settings::LeaseUnit;
use crate::failure::{Explained, Kind};
use crate::user::Who;

/// Why a run got no CPUs of its own.
#[derive(Debug)]
pub(crate) enum CpusError {
    /// What the kernel says of the CPUs cannot be read.
    Unread {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no cpuset controller, which keeps programs on their CPUs.
    NoCpuset {
        /// Where it was looked for.
        cgroup: PathBuf,
    },
    /// There is nothing that this run could ever lease.
    None {
        /// What is leased.
        unit: LeaseUnit,
        /// What it would have to be among, in words.
        among: String,
    },
    /// Others have all that there is.
    Busy {
        /// What is leased.
        unit: LeaseUnit,
        /// How many there are for this run.
        count: usize,
    },
    /// The file that holds the locks cannot be used.
    Pool(BoxDirError),
    /// The same, for what boxes do not do.
    Locks {
        /// What was tried.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Processes of a run whose keeper was killed still have a CPU.
    Stragglers {
        /// The CPU.
        cpu: u32,
        /// Their user.
        uid: u32,
    },
}

impl CpusError {
    pub(super) fn unread(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Unread { path, source }
    }

    pub(super) fn locks(step: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Locks {
            step,
            path: path.to_owned(),
            source,
        }
    }
}

impl fmt::Display for CpusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread { path, .. } => write!(
                f,
                "cannot lease CPUs ([cpus] lease in the configuration): cannot read '{}'",
                path.display()
            ),
            Self::NoCpuset { cgroup } => write!(
                f,
                "cannot lease CPUs ([cpus] lease in the configuration): there is no cpuset controller for {} to keep \
                 the program there; enable it in cgroup.subtree_control of the cgroups above, or set lease = \"none\"",
                cgroup.display()
            ),
            Self::None { unit, among } => write!(
                f,
                "there is no {} that this run can lease ([cpus] in the configuration): {among}",
                unit.name()
            ),
            Self::Busy { unit, count } => write!(
                f,
                "no {} is free: all {count} that this run can lease are in use by other runs; --wait waits for one",
                unit.name()
            ),
            Self::Pool(error) => error.fmt(f),
            Self::Locks { step, path, .. } => write!(f, "cannot {step} '{}'", path.display()),
            Self::Stragglers { cpu, uid } => write!(
                f,
                "CPU {cpu} was leased to a run that was killed, and processes of {} are still there",
                Who(*uid)
            ),
        }
    }
}

impl std::error::Error for CpusError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unread { source, .. } | Self::Locks { source, .. } => Some(source),
            Self::NoCpuset { .. }
            | Self::None { .. }
            | Self::Busy { .. }
            | Self::Pool(_)
            | Self::Stragglers { .. } => None,
        }
    }
}

impl Explained for CpusError {
    fn kind(&self) -> Kind {
        match self {
            Self::Busy { .. } => Kind::Busy,
            _ => Kind::Other,
        }
    }
}
