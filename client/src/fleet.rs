//! Jobs and results on their way through a queue: what is around those of a batch.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::job::{Job, JobFile, Step};
use crate::result::BatchResult;

/// How soon a job is wanted. The next class has its turn when this one has no job that is left.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Somebody waits for it.
    #[default]
    Live,
    /// It was judged before.
    Rejudge,
    /// Nobody waits.
    Bulk,
}

/// A job in the queue: that of a batch, and where it belongs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetJob {
    /// The number of the form.
    pub format: u32,
    /// The job's id: what its one result is found by.
    pub id: String,
    /// From 1: how often its submitter has sent it.
    pub attempt: u32,
    /// The contest or course that it belongs to.
    pub queue: String,
    /// How soon it is wanted.
    #[serde(default)]
    pub priority: Priority,
    /// The class of machines that may run it.
    pub pool: String,
    /// When it was submitted, in milliseconds since 1970.
    pub submitted: u64,
    /// When nobody needs its result any more, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<u64>,
    /// What its submitter follows it by; it comes back in the result and is in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// As in a job of a batch, but none has a path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<JobFile>,
    /// As in a job of a batch.
    pub steps: Vec<Step>,
}

/// What became of a job in a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FleetOutcome {
    /// Everything was carried out.
    Done,
    /// It makes no sense, or is not allowed.
    Refused,
    /// It came too late.
    Expired,
    /// Somebody wanted it to end.
    Cancelled,
    /// It was tried again and again, and no machine could carry it out.
    Poison,
}

/// The one result of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetResult {
    /// The number of the form.
    pub format: u32,
    /// The job's.
    pub id: String,
    /// That of the job which was carried out.
    pub attempt: u32,
    /// Which delivery of the job this was, from 1.
    pub delivery: u64,
    /// What became of it.
    pub outcome: FleetOutcome,
    /// Why it is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The job's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// What the batch said, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<BatchResult>,
    /// Where `result` is instead, if it is too long for a message: a file of the object store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
    /// Where it was carried out.
    pub machine: Machine,
    /// When.
    pub times: Times,
}

/// A file of the object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Its name, which is its digest.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

/// A machine, as it is told in each result: times depend on it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// What the fleet calls it.
    pub id: String,
    /// Its class.
    pub pool: String,
    /// As in `/proc/cpuinfo`.
    #[serde(default)]
    pub cpu_model: String,
    /// As in `/proc/cpuinfo`.
    #[serde(default)]
    pub microcode: String,
    /// As `uname -r` says.
    #[serde(default)]
    pub kernel: String,
    /// That of isolate-run.
    #[serde(default)]
    pub version: String,
    /// What `isolate-run config show` calls the digest of all values that hold.
    #[serde(default)]
    pub config_digest: String,
    /// What the last `isolate-run calibrate --json` said, if anything.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub calibration: Value,
}

/// In milliseconds since 1970; what did not come to pass has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The job was submitted, as its submitter says.
    #[serde(default)]
    pub submitted: u64,
    /// The job came to the machine.
    pub received: u64,
    /// All its files were there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_ready: Option<u64>,
    /// It was given to the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<u64>,
    /// There was a result.
    pub ended: u64,
}

impl Priority {
    /// All, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Live, Self::Rejudge, Self::Bulk];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Rejudge => "rejudge",
            Self::Bulk => "bulk",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|one| one.name() == text);
        found.ok_or_else(|| format!("'{text}' is no priority: live, rejudge or bulk"))
    }
}

impl FleetOutcome {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Poison => "poison",
        }
    }
}

impl FleetJob {
    /// The part of it that a batch carries out.
    #[must_use]
    pub fn job(&self) -> Job {
        Job {
            format: None,
            id: self.id.clone(),
            files: self.files.clone(),
            steps: self.steps.clone(),
        }
    }
}
