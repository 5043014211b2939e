//! The scheduling priority of the calling thread: sched(7).

use std::io;
use std::time::Duration;

use libc::{c_int, c_long, sched_param};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::check;

/// How long an urgent thread may run without waiting for anything. Its work takes a tenth of that.
const LONGEST: Duration = Duration::from_millis(200);
/// The same time after which the kernel kills it.
const AT_MOST: Duration = Duration::from_secs(1);

/// Lets the calling thread run before every ordinary one, on whatever CPU it is, until it is
/// dropped.
#[derive(Debug)]
pub(crate) struct Urgent {
    /// The policy to go back to.
    policy: c_int,
}

impl Urgent {
    /// Goes from an ordinary policy to SCHED_FIFO with the lowest priority; `None` if the thread
    /// has a special policy already. Children that it makes have an ordinary one. EPERM without
    /// CAP_SYS_NICE, and where the thread's cgroup has no real-time budget.
    ///
    /// A thread that runs for [`LONGEST`] without waiting gets SIGXCPU, and is killed after
    /// [`AT_MOST`]: nobody else could stop it on the only CPU.
    pub(crate) fn begin() -> io::Result<Option<Self>> {
        let policy = policy()?;
        if !is_ordinary(policy) {
            return Ok(None);
        }
        limit_runtime()?;
        set(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, 1)?;
        Ok(Some(Self { policy }))
    }
}

impl Drop for Urgent {
    fn drop(&mut self) {
        // Going lower is always allowed, and the nice value has not changed.
        drop(set(self.policy, 0));
    }
}

/// Replaces a real-time or deadline policy of the calling thread by the ordinary one. Any other
/// policy and the nice value stay. Its children do not have such a policy again.
pub(crate) fn leave_real_time() -> io::Result<()> {
    if is_ordinary(policy()?) {
        return Ok(());
    }
    set(libc::SCHED_OTHER, 0)
}

/// Lets the calling thread, when it wakes up, not run before one that is running (SCHED_BATCH), if
/// it has the usual policy.
pub(crate) fn let_others_first() -> io::Result<()> {
    match policy()? {
        libc::SCHED_OTHER => set(libc::SCHED_BATCH, 0),
        _ => Ok(()),
    }
}

/// ioprio_set(2): the calling thread.
const IOPRIO_WHO_PROCESS: c_int = 1;
/// By how many bits the class is shifted above the rest.
const IOPRIO_CLASS_SHIFT: u32 = 13;
/// The class before all others. The default is 0, no class, which goes by the nice value.
const IOPRIO_CLASS_RT: c_long = 1;

/// Gives up the real-time I/O class of the calling thread; any other one stays. Does nothing where
/// the kernel has no I/O priorities.
pub(crate) fn leave_real_time_io() -> io::Result<()> {
    // SAFETY: no memory is passed; 0 is the calling thread.
    let result = check(unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0) });
    match result {
        Ok(priority) if priority >> IOPRIO_CLASS_SHIFT == IOPRIO_CLASS_RT => {
            // SAFETY: as above.
            check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0) })
                .map(drop)
        }
        Err(error) if error.raw_os_error() != Some(libc::ENOSYS) => Err(error),
        _ => Ok(()),
    }
}

/// By how many nanoseconds timers may be late unless somebody asks for exact ones: the kernel's
/// default.
const USUAL_TIMER_SLACK: libc::c_ulong = 50_000;

/// Gives the usual timer slack to the calling thread, and to its children.
pub(crate) fn set_usual_timer_slack() -> io::Result<()> {
    // SAFETY: no memory is passed.
    let result = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, USUAL_TIMER_SLACK) };
    check(c_long::from(result)).map(drop)
}

/// How nice the calling process is, -20 to 19 (getpriority(2)).
pub(crate) fn niceness() -> io::Result<i32> {
    // SAFETY: no memory is passed; 0 is the calling process. Unlike libc's function, the kernel's
    // own call never returns a negative value for a success: it returns 20 minus the niceness.
    let result = check(unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, 0) })?;
    Ok(20 - i32::try_from(result).unwrap_or(20))
}

/// Makes the calling process this nice. EACCES for a lower value than it has, without CAP_SYS_NICE.
pub(crate) fn set_niceness(niceness: i32) -> io::Result<()> {
    // SAFETY: no memory is passed; 0 is the calling process.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) };
    check(c_long::from(result)).map(drop)
}

/// Sets RLIMIT_RTTIME, unless it is lower already.
fn limit_runtime() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_RTTIME)?;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let (soft, hard) = (soft.min(micros(LONGEST)), hard.min(micros(AT_MOST)));
    Ok(setrlimit(Resource::RLIMIT_RTTIME, soft, hard)?)
}

/// The policy of the calling thread, with SCHED_RESET_ON_FORK where it is set.
fn policy() -> io::Result<c_int> {
    // SAFETY: no memory is passed; 0 is the calling thread.
    let policy = check(c_long::from(unsafe { libc::sched_getscheduler(0) }))?;
    Ok(policy as c_int)
}

/// Whether a thread with this policy runs only while none with a real-time or deadline policy wants
/// to.
fn is_ordinary(policy: c_int) -> bool {
    [libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE]
        .contains(&(policy & !libc::SCHED_RESET_ON_FORK))
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
