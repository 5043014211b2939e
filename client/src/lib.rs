//! What a program needs that has runs carried out by `isolate-run batch`: jobs and results as
//! types, and a batch that it starts and drives.
//!
//! ```text
//! Job ── a line ──▶ Batch (a process, isolate-run batch) ── a line ──▶ BatchResult
//! FleetJob, FleetResult: the same on its way through a queue
//! ```
//!
//! The forms are those of `docs/job.schema.json`, `docs/result.schema.json`,
//! `docs/fleet-job.schema.json` and `docs/fleet-result.schema.json`.

mod batch;
mod fleet;
mod job;
mod result;

pub use batch::{Answer, Batch};
pub use fleet::{FleetJob, FleetOutcome, FleetResult, Machine, Priority, Stored, Times};
pub use job::{Collect, Input, Job, JobFile, Output, Step};
pub use result::{BatchResult, Outcome, StepResult};

/// The number of the form of all of these; it grows when a reader has to change.
pub const FORMAT: u32 = 1;
