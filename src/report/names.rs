//! What verdicts are called where programs read.

use super::Verdict;

impl Verdict {
    /// Its name in the report, the journal and the counters.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ExitCode(_) => "exit_code",
            Self::NotExecuted(_) | Self::NotOpened(_) => "not_started",
            Self::Signal(_) => "signal",
            Self::Memory(_) => "memory_limit",
            Self::MemoryAndTime(_) => "memory_and_time_limit",
            Self::Interrupted(_) => "interrupted",
            Self::CpuTime => "cpu_time_limit",
            Self::WallTime => "wall_time_limit",
            Self::Output => "output_limit",
            Self::Internal(_) => "internal_error",
        }
    }
}
