//! What a caller may have beyond an ordinary process, and must not pass on to the program: the
//! keeper has to run before the program, and the kernel must be able to kill it.

use std::fs;
use std::io;

use crate::sys::priority;

/// The file that says how much the kernel spares a process when memory is short, -1000 to 1000
/// (proc_pid_oom_score_adj(5)).
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// Makes the calling process, and so its children, ordinary. `/proc` must still be the host's, and
/// writable. What makes a process less than ordinary is the caller's choice and stays: niceness,
/// SCHED_BATCH, SCHED_IDLE, an idle I/O class, a higher score.
pub(crate) fn become_ordinary() -> io::Result<()> {
    priority::leave_real_time()?;
    priority::leave_real_time_io()?;
    priority::set_usual_timer_slack()?;
    match fs::read_to_string(OOM_SCORE) {
        Ok(score) if score.starts_with('-') => fs::write(OOM_SCORE, "0"),
        Ok(_) => Ok(()),
        // This is a container without /proc, or a kernel without the file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
