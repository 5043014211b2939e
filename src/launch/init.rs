//! init: PID 1 of the run's PID namespace.
//!
//! It builds the sandbox, makes the program's process in it, reaps everything, and outlives the
//! program until the keeper has read every figure: while init lives, systemd keeps the scope. When
//! init dies, the kernel kills everything in the PID namespace; init itself dies with the keeper.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, sethostname};

use super::filter;
use super::message::{StepFailure, ToInit, ToKeeper};
use super::program::{self, ProgramSetup};
use super::root::{self, Mount};
use super::step::Step;
use crate::clock::{Moment, Timer};
use crate::sys::process::{self, Cloned, Exit, UsageOf, Wait, Waited};
use crate::sys::{credentials, network};
use crate::syscall_set::SyscallSet;

/// Everything init needs, decided and laid out before the clone.
#[derive(Debug)]
pub(crate) struct InitSetup {
    /// The directory rules, `None` for those that are left out.
    pub(crate) mounts: Vec<Option<Mount>>,
    /// Whether the network namespace is init's own.
    pub(crate) own_network: bool,
    /// Whether init will be moved: systemd was asked for a scope around it.
    pub(crate) moves: bool,
    /// The system calls that the program is refused.
    pub(crate) syscalls: SyscallSet,
    /// After this time init kills the program by itself: the keeper, which is to do so before, may have been
    /// stopped.
    pub(crate) patience: Option<Duration>,
    /// The lock of the box: held until init dies, also when the keeper has died before.
    pub(crate) lock: OwnedFd,
    /// `/dev/null`, which takes the place of the standard descriptors once the program has them.
    pub(crate) null: OwnedFd,
    /// What comes after.
    pub(crate) program: ProgramSetup,
}

/// The name of the host inside: the same on every machine.
const HOST_NAME: &str = "isolate";

/// How long init waits to be moved before it ends all the same: systemd may hang.
const MOVE_PATIENCE: Duration = Duration::from_secs(3);

/// The life of init.
pub(super) fn run(setup: &InitSetup, keeper: &OwnedFd) -> ! {
    let whereabouts = setup.moves.then(Whereabouts::now);
    let code = match live(setup, keeper.as_fd()) {
        Ok(()) => 0,
        Err(failure) => {
            // When even this cannot be sent, the keeper is gone.
            drop(ToKeeper::Failed(failure).send(keeper.as_fd(), None));
            2
        }
    };
    // The kernel does not move a process that is ending. systemd would have a scope that never held anybody, and keep
    // it for ever: it learns that a scope is over when its last process ends.
    if let Some(Ok(before)) = whereabouts {
        before.wait_for_another();
    }
    process::exit_now(code)
}

/// The control group of init, as it was in the beginning.
struct Whereabouts {
    /// `/proc/self/cgroup`, which can be read after the root file system is another one.
    file: File,
    before: Vec<u8>,
}

impl Whereabouts {
    fn now() -> io::Result<Self> {
        let file = File::open("/proc/self/cgroup")?;
        let before = Self::read(&file)?;
        Ok(Self { file, before })
    }

    fn read(file: &File) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 4096];
        let length = file.read_at(&mut bytes, 0)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Returns when it is another one, cannot be known any more, or will hardly be another one.
    fn wait_for_another(&self) {
        let begin = Instant::now();
        while begin.elapsed() < MOVE_PATIENCE {
            match Self::read(&self.file) {
                Ok(now) if now == self.before => sleep(Duration::from_millis(2)),
                _ => return,
            }
        }
    }
}

fn live(setup: &InitSetup, keeper: BorrowedFd<'_>) -> Result<(), StepFailure> {
    let mut namespaces = CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    if setup.own_network {
        namespaces |= CloneFlags::CLONE_NEWNET;
    }
    unshare(namespaces).map_err(StepFailure::at(Step::Namespaces))?;
    sethostname(HOST_NAME).map_err(StepFailure::at(Step::HostName))?;
    if setup.own_network {
        network::bring_loopback_up().map_err(StepFailure::at(Step::Loopback))?;
    }
    root::build(&setup.mounts)?;
    nix::unistd::chdir("/box").map_err(StepFailure::at(Step::ChangeToBox))?;
    // The keeper still waits for systemd: what the program's process inherits is set up here.
    credentials::leave_session_keyring().map_err(StepFailure::at(Step::Keyring))?;
    credentials::drop_bounding_set().map_err(StepFailure::at(Step::BoundingSet))?;
    // The caller's nohup and the keeper's signalfd are not the program's business.
    process::reset_signal_dispositions();
    let filter = filter::compile(setup.syscalls).map_err(StepFailure::at(Step::CompileFilter))?;
    ToKeeper::RootBuilt
        .send(keeper, None)
        .map_err(StepFailure::at(Step::HearFromKeeper))?;
    let leaf = match ToInit::receive(keeper).map_err(StepFailure::at(Step::HearFromKeeper))? {
        Some((ToInit::Go, leaf)) => leaf,
        // The keeper gives up, or is dead.
        _ => return Ok(()),
    };
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(StepFailure::at(Step::DieWithKeeper))?;
    if is_closed(keeper).map_err(StepFailure::at(Step::HearFromKeeper))? {
        // It died before the death signal was armed.
        return Ok(());
    }
    let cloned = process::clone(0, leaf.as_ref().map(AsFd::as_fd))
        .map_err(StepFailure::at(Step::CloneProgram))?;
    let (pid, pidfd) = match cloned {
        Cloned::Child => program::run(&setup.program, &filter, keeper),
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    ToKeeper::Started
        .send(keeper, Some(pidfd.as_fd()))
        .map_err(StepFailure::at(Step::HearFromKeeper))?;
    retire(setup, keeper)?;
    let exit = reap_until(pid, setup.patience).map_err(StepFailure::at(Step::Wait))?;
    let moment = Moment::now().map_err(StepFailure::at(Step::Wait))?;
    ToKeeper::Ended(exit, moment)
        .send(keeper, None)
        .map_err(StepFailure::at(Step::HearFromKeeper))?;
    // What the program left running goes with it.
    kill_all().map_err(StepFailure::at(Step::Wait))?;
    while process::wait_any(Wait::Block).map_err(StepFailure::at(Step::Wait))? != Waited::NoChild {}
    let usage = process::resource_usage(UsageOf::Children).map_err(StepFailure::at(Step::Wait))?;
    ToKeeper::Empty(usage)
        .send(keeper, None)
        .map_err(StepFailure::at(Step::HearFromKeeper))?;
    // Leave, or the keeper's end: both are the end of init.
    drop(ToInit::receive(keeper));
    Ok(())
}

/// Whether nobody has the other end any more.
fn is_closed(socket: BorrowedFd<'_>) -> nix::Result<bool> {
    let mut polled = [PollFd::new(socket, PollFlags::empty())];
    poll(&mut polled, PollTimeout::ZERO)?;
    let [polled] = polled;
    Ok(polled
        .revents()
        .is_some_and(|events| events.contains(PollFlags::POLLHUP)))
}

/// Lets go of everything but the socket: a pipe of the caller's must see its end when the program
/// closes it, and init needs no more rights than to kill.
fn retire(setup: &InitSetup, keeper: BorrowedFd<'_>) -> Result<(), StepFailure> {
    nix::unistd::dup2_stdin(&setup.null).map_err(StepFailure::at(Step::CloseDescriptors))?;
    nix::unistd::dup2_stdout(&setup.null).map_err(StepFailure::at(Step::CloseDescriptors))?;
    nix::unistd::dup2_stderr(&setup.null).map_err(StepFailure::at(Step::CloseDescriptors))?;
    process::close_all_but(&[setup.lock.as_raw_fd()], keeper)
        .map_err(StepFailure::at(Step::CloseDescriptors))?;
    credentials::keep_only_kill().map_err(StepFailure::at(Step::RestrictInit))
}

/// Reaps orphans until the process `pid` itself has ended; kills it, and all others, after `patience`.
fn reap_until(pid: i32, patience: Option<Duration>) -> io::Result<Exit> {
    // Blocked, so that one that comes between a look and the wait for the next is not lost.
    let child_ended = SigSet::from(Signal::SIGCHLD);
    child_ended.thread_block()?;
    let ended = SignalFd::with_flags(&child_ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let timer = Timer::new()?;
    if let Some(patience) = patience {
        timer.set_after(patience)?;
    }
    loop {
        loop {
            match process::wait_any(Wait::Look)? {
                Waited::Ended(child, exit) if child == pid => return Ok(exit),
                Waited::Ended(..) => {}
                Waited::NotYet => break,
                Waited::NoChild => return Err(io::Error::from_raw_os_error(libc::ECHILD)),
            }
        }
        let mut polled =
            [ended.as_fd(), timer.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [has_ended, is_over] = polled.map(|fd| fd.any().unwrap_or(false));
        if has_ended {
            // All that it has to tell is told by the next looks.
            ended.read_signal()?;
        }
        if is_over {
            timer.unset()?;
            kill_all()?;
        }
    }
}

/// Kills every process in the PID namespace but init itself.
fn kill_all() -> nix::Result<()> {
    match kill(Pid::from_raw(-1), Signal::SIGKILL) {
        // There was none.
        Err(Errno::ESRCH) => Ok(()),
        other => other,
    }
}
