//! From what was asked, configured and found to what will be done; the doing is left to others.
//! [`grant`] decides how much a call may have, and [`resolve`] everything else: it is the only way
//! to a [`RunPlan`]. Pure; the owner of a plan need not check anything again.

pub(crate) mod ceilings;
mod directories;
mod environment;
mod granted;
mod handover;
mod limits;
mod program;
mod redirections;
mod run;
mod scope;

use std::fmt;
use std::path::PathBuf;

use crate::box_dir::IdPool;
use crate::cgroup::Place;
use crate::config::settings::BoxSettings;
use crate::failure::{Explained, Kind};
use crate::quantity::{BoxId, Ids};

pub(crate) use granted::{Granted, grant};
pub(crate) use limits::{Deadlines, Rlimit};
pub(crate) use redirections::check_of_exec;
#[cfg(test)]
pub(crate) use run::tests;
pub(crate) use run::{Decided, RunInputs, RunPlan, StderrPlan, resolve};
pub(crate) use scope::scope_of;

/// Why something is not allowed or not possible, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl Explained for Refusal {
    fn kind(&self) -> Kind {
        Kind::Ceiling
    }
}

/// One box: its number and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoxPlan {
    /// Its number.
    pub(crate) id: BoxId,
    /// The ids of which it gets one pair when it is made.
    pub(crate) pool: IdPool,
    /// The directory that holds the boxes' directories.
    pub(crate) root: PathBuf,
    /// The directory that holds the lock files.
    pub(crate) locks: PathBuf,
}

impl BoxPlan {
    /// The plan for a numbered box.
    pub(crate) fn new(id: BoxId, boxes: &BoxSettings) -> Self {
        Self {
            id,
            pool: IdPool {
                first: Ids {
                    uid: boxes.first_uid,
                    gid: boxes.first_gid,
                },
                size: boxes.count,
            },
            root: boxes.root.clone(),
            locks: boxes.locks.clone(),
        }
    }
}

/// Refuses control-group mode where there is none.
pub(crate) fn require_cg(place: &Place) -> Result<(), Refusal> {
    let refusal = |reason| Refusal(format!("--cg is not possible: {reason}"));
    place.require_memory().map_err(refusal)
}

/// The same for somebody who did not ask for the mode, but for a limit that needs it.
fn require_memory(place: &Place) -> Result<(), Refusal> {
    let refusal = |reason| {
        Refusal(format!(
            "a limit on the memory of all processes together (--memory, --cg-mem) needs a control group: {reason}. \
             -m SIZE limits the addresses of each process instead"
        ))
    };
    place.require_memory().map_err(refusal)
}
