//! The program's process, from its clone to its execve: a straight line of named steps.
//!
//! It starts in the leaf, as root, in the memory of init, which stands still meanwhile. The steps
//! that need root come first. Then it is the box user for good and has only the program's own files
//! open: the caller named the next paths or the program made them, and they may lead through
//! `/proc/self/fd`. Then the clock starts, so that nothing above is in the program's time; the
//! steps below may block on those paths.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::thread::sleep;
use std::time::Duration;

use libc::sock_filter;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigEvent, SigSet, SigevNotify, Signal};
use nix::sys::stat::Mode;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::{
    Gid, Pid, Uid, chdir, close, getpgrp, setgroups, setpgid, setresgid, setresuid, setsid,
    tcsetpgrp, write,
};

use super::failure::may_be_shortage;
use super::message::{FromKeeper, StepFailure, ToKeeper};
use super::program_setup::{Foreground, ProgramSetup};
use super::progress::{At, Progress};
use super::shown_cgroup::ShownCgroup;
use super::step::Step;
use crate::barrier::Barrier;
use crate::clock::Moment;
use crate::plan::StderrPlan;
use crate::report::{EXIT_NOT_EXECUTED, Stream};
use crate::sys::{credentials, process};

/// For how long a busy file is tried again. A process of the caller's, between fork and exec, may
/// still have it open for writing when it was written a moment ago, and then it cannot be executed
/// (execve(2), ETXTBSY).
const BUSY_PATIENCE: Duration = Duration::from_millis(200);
/// The pause before each further try.
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// How the program's process begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning<'a> {
    /// Whether the caller may run the program; otherwise it waits to hear that.
    pub(super) permitted: bool,
    /// How long it may take to become the program, from the start of the clock on.
    pub(super) patience: Option<Duration>,
    /// The system calls that it is refused. It installs the filter itself, since init makes
    /// processes by one of these calls.
    pub(super) filter: &'a [sock_filter],
    /// Where it mounts its control group, if it is to see that.
    pub(super) cgroup: Option<&'a ShownCgroup>,
    /// Whether the leaf limits the processes, and counts those that it refuses.
    pub(super) leaf_counts_processes: bool,
    /// Where it notes how far it has come, for init.
    pub(super) progress: &'a Progress,
}

/// Becomes the program, or tells the keeper why not.
pub(super) fn run(setup: &ProgramSetup<'_>, keeper: BorrowedFd<'_>, beginning: Beginning<'_>) -> ! {
    let failure = match set_up(setup, keeper, beginning) {
        Ok(()) => match become_program(setup, keeper, beginning.progress) {
            Ok(never) => match never {},
            Err(failure) => failure,
        },
        Err(failure) => failure,
    };
    if failure.step == Step::Execute {
        // The program is at fault, not the sandbox: its own stderr and exit code say so.
        beginning.progress.at.set(At::NotExecuted(failure.errno));
        complain(setup, failure.errno);
        process::exit_now(EXIT_NOT_EXECUTED.into());
    }
    beginning.progress.at.set(At::Elsewhere);
    // When even this cannot be sent, the keeper is gone, and init with it.
    drop(ToKeeper::Failed(failure).send(keeper, None));
    process::exit_now(2)
}

/// Says on the program's stderr why it was not executed.
fn complain(setup: &ProgramSetup<'_>, errno: i32) {
    // The keeper finds out, and tells the verdict: nobody needs to know by which call.
    let is_for_memory = may_be_shortage(errno) && setup.may_starve;
    if is_for_memory || setup.complaint.is_empty() {
        return;
    }
    let reason = Errno::from_raw(errno).desc();
    for part in [&setup.complaint[..], reason.as_bytes(), b"\n"] {
        if write(io::stderr(), part).is_err() {
            break;
        }
    }
}

fn set_up(
    setup: &ProgramSetup<'_>,
    keeper: BorrowedFd<'_>,
    beginning: Beginning<'_>,
) -> Result<(), StepFailure> {
    match &setup.foreground {
        // The program gets a session without a terminal: whatever descriptors it has, it must not
        // read or forge (TIOCSTI) what is typed for the caller's shell.
        None => Barrier::Session
            .raise(|| setsid().map(drop))
            .map_err(StepFailure::at(Step::Session))?,
        Some(Foreground::OwnSession(terminal)) => {
            setsid().map_err(StepFailure::at(Step::Session))?;
            // Its session's foreground group is then this process's own.
            process::take_terminal(terminal.as_fd()).map_err(StepFailure::at(Step::Foreground))?;
        }
        Some(Foreground::CallersSession(terminal)) => {
            setpgid(Pid::from_raw(0), Pid::from_raw(0))
                .map_err(StepFailure::at(Step::ProcessGroup))?;
            // SIGTTOU is still blocked here, as everything is, so a background group may do this.
            match tcsetpgrp(terminal, getpgrp()) {
                // It is not our session's terminal, so there is no foreground to be in.
                Ok(()) | Err(Errno::ENOTTY) => {}
                Err(errno) => return Err(StepFailure::at(Step::Foreground)(errno)),
            }
        }
    }
    // Only now: a namespace made with the clone would be rooted in init's cgroup.
    Barrier::CgroupNamespace
        .raise(|| unshare(CloneFlags::CLONE_NEWCGROUP))
        .map_err(StepFailure::at(Step::CgroupNamespace))?;
    beginning.cgroup.map_or(Ok(()), ShownCgroup::mount)?;
    // Before the limits: with few open files allowed, ours would be in the way of the redirections.
    Barrier::ClosedDescriptors
        .raise(|| process::close_all_but(&setup.inherited, keeper))
        .map_err(StepFailure::at(Step::CloseDescriptors))?;
    // Before the limits, too: what is sent may be limited by them.
    if setup.shows_itself {
        show(keeper).map_err(StepFailure::at(Step::StartClock))?;
    }
    let patience = Barrier::ProgramTimer.of(beginning.patience);
    let timer = patience.map(|patience| {
        let timer = timer().map_err(StepFailure::at(Step::Patience))?;
        Ok((timer, patience))
    });
    let timer = timer.transpose()?;
    if let Some(inheritance) = &setup.inheritance {
        inheritance
            .apply()
            .map_err(StepFailure::at(Step::Inherit))?;
    }
    // Before the uid changes: CAP_SYS_RESOURCE is needed to raise hard limits.
    for (index, rlimit) in setup.rlimits.iter().enumerate() {
        // One more than the leaf allows, so that it is the leaf that refuses a process.
        let is_leafs = rlimit.resource == Resource::RLIMIT_NPROC && beginning.leaf_counts_processes;
        let [soft, hard] =
            [rlimit.soft, rlimit.hard].map(|limit| limit.saturating_add(is_leafs.into()));
        Barrier::Rlimits
            .raise(|| setrlimit(rlimit.resource, soft, hard))
            .map_err(StepFailure::at_index(Step::Rlimit, index))?;
    }
    let (uid, gid) = (Uid::from_raw(setup.uid), Gid::from_raw(setup.gid));
    Barrier::Gid
        .raise(|| setresgid(gid, gid, gid))
        .map_err(StepFailure::at(Step::GroupIds))?;
    Barrier::Groups
        .raise(|| setgroups(&[]))
        .map_err(StepFailure::at(Step::GroupIds))?;
    Barrier::Uid
        .raise(|| setresuid(uid, uid, uid))
        .map_err(StepFailure::at(Step::UserIds))?;
    // By fs.suid_dumpable=1 it could open the memory that it has, which is still init's.
    prctl::set_dumpable(false).map_err(StepFailure::at(Step::UserIds))?;
    Barrier::Capabilities
        .raise(credentials::drop_capabilities)
        .map_err(StepFailure::at(Step::Capabilities))?;
    Barrier::NoNewPrivileges
        .raise(prctl::set_no_new_privs)
        .map_err(StepFailure::at(Step::NoNewPrivileges))?;
    Barrier::Filter
        .raise(|| credentials::install_filter(beginning.filter))
        .map_err(StepFailure::at(Step::Filter))?;
    if !beginning.permitted {
        wait_for_permission(keeper)?;
    }
    if let Some((mut timer, patience)) = timer {
        let patience = Expiration::OneShot(patience.into());
        timer
            .set(patience, TimerSetTimeFlags::empty())
            .map_err(StepFailure::at(Step::Patience))?;
        // execve(2) deletes it.
        std::mem::forget(timer);
    }
    start_clock(keeper, beginning.progress)?;
    // Only now: a key that is typed while this process waits ends a program, not the set-up of one.
    SigSet::empty()
        .thread_set_mask()
        .map_err(StepFailure::at(Step::Signals))
}

/// Sends a descriptor of this process.
fn show(keeper: BorrowedFd<'_>) -> io::Result<()> {
    let this = process::pidfd_of(Pid::this().as_raw())?;
    ToKeeper::Started.send(keeper, Some(this.as_fd()))
}

/// A timer that kills this process when it is set and the time has passed.
fn timer() -> nix::Result<Timer> {
    let kill = SigevNotify::SigevSignal {
        signal: Signal::SIGKILL,
        si_value: 0,
    };
    Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(kill))
}

/// Returns when the caller may run the program, and not before.
fn wait_for_permission(keeper: BorrowedFd<'_>) -> Result<(), StepFailure> {
    match FromKeeper::receive_alone(keeper).map_err(StepFailure::at(Step::HearFromKeeper))? {
        Some(FromKeeper::Permitted) => Ok(()),
        // Or the keeper is dead.
        _ => Err(StepFailure::at(Step::HearFromKeeper)(Errno::EPERM)),
    }
}

/// Starts the clock: the usage and the time until now are not the program's.
fn start_clock(keeper: BorrowedFd<'_>, progress: &Progress) -> Result<Moment, StepFailure> {
    let used = process::resource_usage(process::UsageOf::Myself)
        .map_err(StepFailure::at(Step::StartClock))?;
    let moment = Moment::now().map_err(StepFailure::at(Step::StartClock))?;
    let begun = ToKeeper::Begun {
        used,
        moment,
        root_built: progress.root_built,
    };
    begun
        .send(keeper, None)
        .map_err(StepFailure::at(Step::StartClock))?;
    progress.begun.set(Some(moment));
    Ok(moment)
}

fn become_program(
    setup: &ProgramSetup<'_>,
    keeper: BorrowedFd<'_>,
    progress: &Progress,
) -> Result<std::convert::Infallible, StepFailure> {
    if let Some(path) = setup.stdin {
        progress.at.set(At::Opening(Stream::Input));
        redirect(path, OFlag::O_RDONLY, 0, Step::OpenStdin)?;
    }
    let output = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
    if let Some(path) = setup.stdout {
        progress.at.set(At::Opening(Stream::Output));
        redirect(path, output, 1, Step::OpenStdout)?;
    }
    match &setup.stderr {
        StderrPlan::Inherit => {}
        StderrPlan::File(path) => {
            progress.at.set(At::Opening(Stream::Error));
            redirect(path, output, 2, Step::OpenStderr)?;
        }
        StderrPlan::ToStdout => {
            nix::unistd::dup2_stderr(io::stdout())
                .map_err(StepFailure::at(Step::StderrToStdout))?;
        }
    }
    progress.at.set(At::Elsewhere);
    if let Some(directory) = setup.directory {
        chdir(directory).map_err(StepFailure::at(Step::ChangeDirectory))?;
    }
    let mut error = setup.image.execute();
    let mut now = Moment::now().map_err(StepFailure::at(Step::StartClock))?;
    let end = now.after(BUSY_PATIENCE);
    while error.raw_os_error() == Some(libc::ETXTBSY) && now < end {
        sleep(BUSY_PAUSE);
        now = start_clock(keeper, progress)?;
        error = setup.image.execute();
    }
    Err(StepFailure::at(Step::Execute)(error))
}

/// Opens a path of the sandbox as the box user and puts it where the program expects it.
fn redirect(path: &CStr, flags: OFlag, number: RawFd, step: Step) -> Result<(), StepFailure> {
    // Closed first, then opened: the lowest free number is this one, unless the caller had closed
    // another of the three, and a limit of three open files is enough.
    match close(number) {
        Ok(()) | Err(Errno::EBADF) => {}
        Err(errno) => return Err(StepFailure::at(step)(errno)),
    }
    let mode = Mode::from_bits_truncate(0o666);
    let file = open(path, flags, mode).map_err(StepFailure::at(step))?;
    if file.as_raw_fd() == number {
        std::mem::forget(file);
        return Ok(());
    }
    match number {
        0 => nix::unistd::dup2_stdin(&file),
        1 => nix::unistd::dup2_stdout(&file),
        _ => nix::unistd::dup2_stderr(&file),
    }
    .map_err(StepFailure::at(step))
}
