//! The limits of a run, as they are asked for.

use std::time::Duration;

use crate::quantity::Bytes;

/// Limits as they were asked for. `None` is the configured default; zero is no limit, as in
/// isolate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LimitRequest {
    /// `--time`, CPU time.
    pub(crate) time: Option<Duration>,
    /// `--extra-time`, also an absolute CPU time.
    pub(crate) extra_time: Option<Duration>,
    /// `--wall-time`.
    pub(crate) wall_time: Option<Duration>,
    /// `--mem`: `RLIMIT_AS` of each process.
    pub(crate) address_space: Option<Bytes>,
    /// `--cg-mem`: `memory.max` of the run.
    pub(crate) cg_mem: Option<Bytes>,
    /// `--stack`.
    pub(crate) stack: Option<Bytes>,
    /// `--fsize`.
    pub(crate) file_size: Option<Bytes>,
    /// `--core`.
    pub(crate) core: Option<Bytes>,
    /// `--open-files`.
    pub(crate) open_files: Option<u32>,
    /// `--processes`; 0, which it is without a value, is no limit.
    pub(crate) processes: Option<u32>,
}
