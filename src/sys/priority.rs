//! The scheduling priority of the calling thread: sched(7).

use std::io;
use std::time::Duration;

use libc::{c_int, c_long, sched_param};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::check;

/// How long an urgent thread may run without waiting for anything. What it does takes a tenth of that.
const LONGEST: Duration = Duration::from_millis(200);
/// After which time of that kind the kernel kills it.
const AT_MOST: Duration = Duration::from_secs(1);

/// The calling thread runs before every ordinary one, on whatever CPU it is, until this is dropped.
#[derive(Debug)]
pub(crate) struct Urgent {
    /// The policy before.
    policy: c_int,
}

impl Urgent {
    /// Goes from an ordinary policy to SCHED_FIFO with the lowest priority; `None` when the caller has given this
    /// thread a special one already. Children that the thread makes meanwhile have an ordinary policy.
    ///
    /// A thread that then runs for [`LONGEST`] without waiting for anything is sent SIGXCPU, and killed
    /// after [`AT_MOST`]: nobody else could stop it where it has the only CPU.
    ///
    /// EPERM without CAP_SYS_NICE, and where the thread's cgroup has no real-time budget.
    pub(crate) fn begin() -> io::Result<Option<Self>> {
        // SAFETY: no memory is passed; 0 is the calling thread.
        let policy = check(c_long::from(unsafe { libc::sched_getscheduler(0) }))? as c_int;
        let ordinary = [libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE];
        if !ordinary.contains(&(policy & !libc::SCHED_RESET_ON_FORK)) {
            return Ok(None);
        }
        limit_runtime()?;
        set(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, 1)?;
        Ok(Some(Self { policy }))
    }
}

impl Drop for Urgent {
    fn drop(&mut self) {
        // Less is always allowed. The nice value was never gone.
        drop(set(self.policy, 0));
    }
}

/// How nice the calling process is, -20 to 19 (getpriority(2)).
pub(crate) fn niceness() -> io::Result<i32> {
    // SAFETY: no memory is passed; 0 is the calling process. The kernel's own call, unlike libc's, never returns a
    // negative value for a success: it is 20 less the niceness.
    let result = check(unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, 0) })?;
    Ok(20 - i32::try_from(result).unwrap_or(20))
}

/// Makes the calling process so nice. EACCES for less than it is, without CAP_SYS_NICE.
pub(crate) fn set_niceness(niceness: i32) -> io::Result<()> {
    // SAFETY: no memory is passed; 0 is the calling process.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) };
    check(c_long::from(result)).map(drop)
}

/// Sets RLIMIT_RTTIME, or leaves one that is lower as it is.
fn limit_runtime() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_RTTIME)?;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let (soft, hard) = (soft.min(micros(LONGEST)), hard.min(micros(AT_MOST)));
    Ok(setrlimit(Resource::RLIMIT_RTTIME, soft, hard)?)
}

fn set(policy: c_int, priority: c_int) -> io::Result<()> {
    let param = sched_param {
        sched_priority: priority,
    };
    // SAFETY: the kernel reads the structure during the call only; 0 is the calling thread.
    check(c_long::from(unsafe {
        libc::sched_setscheduler(0, policy, &raw const param)
    }))?;
    Ok(())
}
