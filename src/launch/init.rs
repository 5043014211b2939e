//! init: PID 1 of the run's PID namespace.
//!
//! It builds the sandbox, makes the program's process in it, reaps everything, and outlives the
//! program until the keeper has read every figure: while init lives, systemd keeps the scope. When
//! init dies, the kernel kills everything in the PID namespace; init itself dies with the keeper.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::affinity::{self, Cpu};
use super::filter;
use super::message::{FromKeeper, StepFailure, ToKeeper};
use super::namespaces::{self, Namespaces, Network};
use super::ordinary;
use super::program::{self, Beginning};
use super::program_setup::ProgramSetup;
use super::progress::Progress;
use super::purpose::Purpose;
use super::root::{self, Mount, OldRoot};
use super::spare::Spare;
use super::step::Step;
use crate::barrier::Barrier;
use crate::cgroup::{Leaf, Whereabouts};
use crate::clock::{Moment, Timer};
use crate::quantity::Ids;
use crate::sys::credentials;
use crate::sys::descriptors::put_on_streams;
use crate::sys::poll::{self, Until, closed, readable};
use crate::sys::process::{self, Exit, UsageOf, Wait, Waited};
use crate::sys::signals;
use crate::sys::vfork::vfork_into;
use crate::syscall_set::{Restriction, SyscallSet};

/// Everything init needs, decided and laid out before the clone.
#[derive(Debug)]
pub(crate) struct InitSetup<'a> {
    /// The directory rules, `None` for those that are left out.
    pub(crate) mounts: Vec<Option<Mount>>,
    /// The network that the program sees.
    pub(crate) network: Network,
    /// Whether it is still to be said that the caller may run the program.
    pub(crate) awaits_permission: bool,
    /// Namespaces that were made ahead, where none stand ready with a scope; otherwise init makes
    /// them.
    pub(crate) namespaces: Option<Namespaces>,
    /// The system calls that the program is refused.
    pub(crate) syscalls: SyscallSet,
    /// After this time the program is killed without the keeper, which may have been stopped. init
    /// does that, or a timer of the program's process while init stands still.
    pub(crate) patience: Option<Duration>,
    /// The lock of the box: held until init dies, also when the keeper has died before.
    pub(crate) lock: OwnedFd,
    /// The lease of its CPUs, held in the same way.
    pub(crate) lease: Option<OwnedFd>,
    /// `/dev/null`, which takes the place of the standard descriptors once the program has them.
    pub(crate) null: OwnedFd,
    /// What comes after.
    pub(crate) program: ProgramSetup<'a>,
}

/// How long init waits to be moved before it ends anyway: its keeper and the next user of the box
/// wait for that.
const MOVE_PATIENCE: Duration = Duration::from_secs(3);

/// The life of init, which is on `cpu` until it has built the sandbox. If systemd is to move it, it
/// comes from beside the process with the number `moved_beside`: its keeper.
pub(super) fn run(
    setup: &InitSetup<'_>,
    keeper: &OwnedFd,
    moved_beside: Option<u32>,
    cpu: Cpu,
    spare: Option<Spare<'_>>,
) -> ! {
    let mut unmoved = moved_beside.and_then(|keeper_pid| Whereabouts::beside(keeper_pid).ok());
    let code = match live(setup, keeper.as_fd(), &mut unmoved, cpu, spare) {
        Ok(()) => 0,
        Err(failure) => {
            // When even this cannot be sent, the keeper is gone.
            drop(ToKeeper::Failed(failure).send(keeper.as_fd(), None));
            2
        }
    };
    // It must not end before systemd has moved it.
    if let Some(before) = unmoved {
        before.wait_for_another(MOVE_PATIENCE);
    }
    process::exit_now(code)
}

/// Builds the sandbox, runs the program and reaps. `unmoved` is taken when init has been moved.
fn live(
    setup: &InitSetup<'_>,
    keeper: BorrowedFd<'_>,
    unmoved: &mut Option<Whereabouts>,
    cpu: Cpu,
    spare: Option<Spare<'_>>,
) -> Result<(), StepFailure> {
    match FromKeeper::receive(keeper).map_err(StepFailure::at(Step::HearFromKeeper))? {
        Some((FromKeeper::Begin, _)) => {}
        // The keeper gives up, or is dead.
        _ => return Ok(()),
    }
    // Before /proc is another one.
    Barrier::OrdinaryPriority
        .raise(ordinary::become_ordinary)
        .map_err(StepFailure::at(Step::Ordinary))?;
    let may_have_users = !setup.syscalls.contains(Restriction::UserNamespaces);
    let purpose = Purpose {
        ids: Ids {
            uid: setup.program.uid,
            gid: setup.program.gid,
        },
        network: setup.network,
    };
    // A terminal's driver changes the times of /dev/tty, whatever the mount says.
    let may_share = spare.is_some() && setup.program.foreground.is_none();
    let of_host = root::take(&setup.mounts, purpose, may_share)?;
    let old_root = match spare {
        Some(spare) => spare.enter(setup.network)?,
        None => {
            match &setup.namespaces {
                Some(namespaces) => namespaces.enter(setup.network)?,
                None => namespaces::make(setup.network)?,
            }
            OldRoot::Hosts
        }
    };
    let cgroup = root::build(&setup.mounts, of_host, purpose, may_have_users, old_root)?;
    nix::unistd::chdir("/box").map_err(StepFailure::at(Step::ChangeToBox))?;
    let progress = Progress::new(Moment::now().ok());
    // The keeper still waits for systemd: what the program's process inherits is set up here.
    if cpu == Cpu::Keepers {
        affinity::leave_cpu().map_err(StepFailure::at(Step::LeaveCpu))?;
    }
    Barrier::SessionKeyring
        .raise(credentials::leave_session_keyring)
        .map_err(StepFailure::at(Step::Keyring))?;
    Barrier::BoundingSet
        .raise(credentials::drop_bounding_set)
        .map_err(StepFailure::at(Step::BoundingSet))?;
    // The caller's nohup and the keeper's signalfd are not the program's business.
    signals::reset_signal_dispositions();
    let filter = filter::of(setup.syscalls).map_err(StepFailure::at(Step::CompileFilter))?;
    let mut permitted = !setup.awaits_permission;
    let leaf = loop {
        match FromKeeper::receive(keeper).map_err(StepFailure::at(Step::HearFromKeeper))? {
            Some((FromKeeper::Go, leaf)) => break leaf,
            Some((FromKeeper::Permitted, _)) => permitted = true,
            Some((FromKeeper::Begin | FromKeeper::Leave, _)) | None => return Ok(()),
        }
    };
    Barrier::DeathWithKeeper
        .raise(|| nix::sys::prctl::set_pdeathsig(Signal::SIGKILL))
        .map_err(StepFailure::at(Step::DieWithKeeper))?;
    if poll::is_so(closed(keeper)).map_err(StepFailure::at(Step::HearFromKeeper))? {
        // It died before the death signal was armed.
        return Ok(());
    }
    let beginning = Beginning {
        permitted,
        patience: setup.patience,
        filter: &filter,
        cgroup: cgroup.as_ref(),
        leaf_counts_processes: false,
        progress: &progress,
    };
    let counts = leaf.as_ref().is_some_and(|leaf| {
        setup.program.leaf_limits_processes && Leaf::counts_processes(leaf.as_fd())
    });
    let beginning = Beginning {
        leaf_counts_processes: counts,
        ..beginning
    };
    let pid = vfork_into(leaf.as_ref().map(AsFd::as_fd), &mut || {
        program::run(&setup.program, keeper, beginning)
    })
    .map_err(StepFailure::at(Step::CloneProgram))?;
    drop(leaf);
    drop(cgroup);
    // The keeper has seen that init was moved before it said Go. Everything is closed next, so this
    // is closed here, not twice.
    *unmoved = None;
    if let Some(obstacle) = progress.obstacle(&setup.program) {
        ToKeeper::NotBegun(obstacle)
            .send(keeper, None)
            .map_err(StepFailure::at(Step::HearFromKeeper))?;
    }
    retire(setup, keeper)?;
    let now = Moment::now().map_err(StepFailure::at(Step::Wait))?;
    let begun = progress.begun.get().unwrap_or(now);
    let patience = Barrier::InitClock.of(setup.patience);
    let deadline = patience.map(|patience| begun.after(patience));
    let reaped = reap_until(pid, deadline, keeper).map_err(StepFailure::at(Step::Wait))?;
    let Some(exit) = reaped else {
        return Ok(());
    };
    let moment = Moment::now().map_err(StepFailure::at(Step::Wait))?;
    ToKeeper::Ended(exit, moment)
        .send(keeper, None)
        .map_err(StepFailure::at(Step::HearFromKeeper))?;
    // What the program left running goes with it. All processes of the namespace are children of
    // this one, or of a child; to look for others among all processes of the machine takes long.
    let mut left = process::wait_any(Wait::Look).map_err(StepFailure::at(Step::Wait))?;
    if left != Waited::NoChild {
        kill_all().map_err(StepFailure::at(Step::Wait))?;
    }
    while left != Waited::NoChild {
        left = process::wait_any(Wait::Block).map_err(StepFailure::at(Step::Wait))?;
    }
    let usage = process::resource_usage(UsageOf::Children).map_err(StepFailure::at(Step::Wait))?;
    ToKeeper::Empty(usage)
        .send(keeper, None)
        .map_err(StepFailure::at(Step::HearFromKeeper))?;
    // Leave, or the keeper's end: both are the end of init.
    drop(FromKeeper::receive(keeper));
    Ok(())
}

/// Closes everything but the socket and the locks, and keeps no right but to kill. A pipe of the
/// caller's then ends when the program closes it. While the program waits for a FIFO that nobody
/// opens, init still holds the pipe.
fn retire(setup: &InitSetup<'_>, keeper: BorrowedFd<'_>) -> Result<(), StepFailure> {
    put_on_streams(setup.null.as_fd()).map_err(StepFailure::at(Step::CloseDescriptors))?;
    let lease = setup.lease.as_ref().unwrap_or(&setup.lock);
    process::close_all_but(&[setup.lock.as_raw_fd(), lease.as_raw_fd()], keeper)
        .map_err(StepFailure::at(Step::CloseDescriptors))?;
    credentials::keep_only_kill().map_err(StepFailure::at(Step::RestrictInit))
}

/// What init waits for while the program runs.
#[derive(Debug, Clone, Copy)]
enum Source {
    Deadline,
    ChildEnded,
    KeeperGone,
}

/// Reaps orphans until the process `pid` itself has ended; at the deadline it kills all processes.
/// `None`: the keeper is gone. That is seen besides the death signal: a keeper that died before
/// this was armed may seem alive for as long as a process that it has just cloned has its end.
fn reap_until(
    pid: i32,
    deadline: Option<Moment>,
    keeper: BorrowedFd<'_>,
) -> io::Result<Option<Exit>> {
    // Blocked, so that no signal is lost between a look and the wait for the next.
    let child_ended = SigSet::from(Signal::SIGCHLD);
    child_ended.thread_block()?;
    let ended = SignalFd::with_flags(&child_ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let timer = Timer::new()?;
    deadline.map_or(Ok(()), |deadline| timer.set_at(deadline))?;
    let watched = Barrier::DeathWithKeeper.stands().then_some(keeper);
    loop {
        loop {
            match process::wait_any(Wait::Look)? {
                Waited::Ended(child, exit) if child == pid => return Ok(Some(exit)),
                Waited::Ended(..) => {}
                Waited::NotYet => break,
                Waited::NoChild => return Err(io::Error::from_raw_os_error(libc::ECHILD)),
            }
        }
        let sources = [
            (Source::Deadline, readable(timer.as_fd())),
            (Source::ChildEnded, readable(ended.as_fd())),
            (Source::KeeperGone, closed(watched)),
        ];
        match poll::first(sources, Until::Forever)? {
            Some(Source::Deadline) => {
                timer.unset()?;
                kill_all()?;
            }
            Some(Source::ChildEnded) => {
                // The next looks find everything that it stands for.
                ended.read_signal()?;
            }
            Some(Source::KeeperGone) => return Ok(None),
            None => {}
        }
    }
}

/// Kills every process in the PID namespace but init itself.
fn kill_all() -> nix::Result<()> {
    if !Barrier::KillAll.stands() {
        return Ok(());
    }
    match kill(Pid::from_raw(-1), Signal::SIGKILL) {
        // There was none.
        Err(Errno::ESRCH) => Ok(()),
        other => other,
    }
}
