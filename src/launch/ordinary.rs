//! What a caller may have beyond an ordinary process, and the program is not to have from them: the keeper has to go before
//! it, and the kernel has to be able to kill it.

use std::fs;
use std::io;

use crate::sys::priority;

/// Where the kernel has how much it spares a process that lacks memory, -1000 to 1000 (proc_pid_oom_score_adj(5)).
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// Makes the calling process, and so its children, ordinary. What makes less of it than that was the caller's to choose
/// and stays: niceness, SCHED_BATCH, SCHED_IDLE, an idle I/O class, a higher score.
///
/// `/proc` must still be the host's, and writable.
pub(crate) fn become_ordinary() -> io::Result<()> {
    priority::leave_real_time()?;
    priority::leave_real_time_io()?;
    priority::set_usual_timer_slack()?;
    match fs::read_to_string(OOM_SCORE) {
        Ok(score) if score.starts_with('-') => fs::write(OOM_SCORE, "0"),
        Ok(_) => Ok(()),
        // A container without /proc, or a kernel without the file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
