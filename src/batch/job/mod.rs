//! Jobs: what a line of the input says, in the form of `docs/job.schema.json`. Pure.

pub(super) mod argv;
pub(super) mod check;
mod course;
mod line;
pub(crate) mod word;
pub(crate) mod words;

pub(super) use course::{Course, Group, Pipe};
pub(crate) use line::{Line, Refused};
pub(crate) use words::Job;

/// The number of this form of jobs and results. It grows when readers have to change.
pub(crate) const FORMAT: u32 = 1;
