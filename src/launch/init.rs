//! init: PID 1 of the run's PID namespace.
//!
//! It builds the sandbox, makes the program's process in it, reaps everything, and outlives the
//! program until the keeper has read every figure: while init lives, systemd keeps the scope. When
//! init dies, the kernel kills everything in the PID namespace; init itself dies with the keeper.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, sethostname};

use super::message::{StepFailure, ToInit, ToKeeper};
use super::program::{self, ProgramSetup};
use super::root::{self, Mount};
use super::step::Step;
use crate::sys::process::{self, Cloned, Exit, UsageOf};
use crate::sys::{credentials, network};

/// Everything init needs, decided and laid out before the clone.
#[derive(Debug)]
pub(crate) struct InitSetup {
    /// The directory rules, `None` for those that are left out.
    pub(crate) mounts: Vec<Option<Mount>>,
    /// Whether the network namespace is init's own.
    pub(crate) own_network: bool,
    /// The lock of the box: held until init is dead, even when the keeper died before.
    pub(crate) lock: OwnedFd,
    /// `/dev/null`, which takes the place of the standard descriptors once the program has them.
    pub(crate) null: OwnedFd,
    /// What comes after.
    pub(crate) program: ProgramSetup,
}

/// The name of the host inside: the same on every machine.
const HOST_NAME: &str = "isolate";

/// The life of init.
pub(super) fn run(setup: &InitSetup, keeper: &OwnedFd) -> ! {
    let code = match live(setup, keeper.as_fd()) {
        Ok(()) => 0,
        Err(failure) => {
            // When even this cannot be sent, the keeper is gone.
            drop(ToKeeper::Failed(failure).send(keeper.as_fd(), None));
            2
        }
    };
    process::exit_now(code)
}

fn live(setup: &InitSetup, keeper: BorrowedFd<'_>) -> Result<(), StepFailure> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(failed(Step::DieWithKeeper))?;
    let mut namespaces = CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    if setup.own_network {
        namespaces |= CloneFlags::CLONE_NEWNET;
    }
    unshare(namespaces).map_err(failed(Step::Namespaces))?;
    sethostname(HOST_NAME).map_err(failed(Step::HostName))?;
    if setup.own_network {
        network::bring_loopback_up().map_err(os_failed(Step::Loopback))?;
    }
    root::build(&setup.mounts)?;
    nix::unistd::chdir("/box").map_err(failed(Step::ChangeToBox))?;
    ToKeeper::RootBuilt
        .send(keeper, None)
        .map_err(os_failed(Step::HearFromKeeper))?;
    // A keeper that died before the death signal was armed has closed its end: this is where it shows.
    let leaf = match ToInit::receive(keeper).map_err(os_failed(Step::HearFromKeeper))? {
        Some((ToInit::Go, leaf)) => leaf,
        _ => return Ok(()),
    };
    let cloned =
        process::clone(0, leaf.as_ref().map(AsFd::as_fd)).map_err(os_failed(Step::CloneProgram))?;
    let (pid, pidfd) = match cloned {
        Cloned::Child => program::run(&setup.program, keeper),
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    ToKeeper::Started
        .send(keeper, Some(pidfd.as_fd()))
        .map_err(os_failed(Step::HearFromKeeper))?;
    retire(setup, keeper)?;
    let exit = reap_until(pid).map_err(os_failed(Step::Wait))?;
    ToKeeper::Ended(exit)
        .send(keeper, None)
        .map_err(os_failed(Step::HearFromKeeper))?;
    // What the program left running goes with it. ESRCH: it left nothing.
    match kill(Pid::from_raw(-1), Signal::SIGKILL) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
        Err(errno) => return Err(failed(Step::Wait)(errno)),
    }
    while process::wait_any()
        .map_err(os_failed(Step::Wait))?
        .is_some()
    {}
    let usage = process::resource_usage(UsageOf::Children).map_err(os_failed(Step::Wait))?;
    ToKeeper::Empty(usage)
        .send(keeper, None)
        .map_err(os_failed(Step::HearFromKeeper))?;
    while matches!(
        ToInit::receive(keeper),
        Ok(Some((ToInit::Go | ToInit::Run, _)))
    ) {}
    Ok(())
}

/// Lets go of everything but the socket: a pipe of the caller's must see its end when the program
/// closes it, and init needs no more rights than to kill.
fn retire(setup: &InitSetup, keeper: BorrowedFd<'_>) -> Result<(), StepFailure> {
    nix::unistd::dup2_stdin(&setup.null).map_err(failed(Step::CloseDescriptors))?;
    nix::unistd::dup2_stdout(&setup.null).map_err(failed(Step::CloseDescriptors))?;
    nix::unistd::dup2_stderr(&setup.null).map_err(failed(Step::CloseDescriptors))?;
    process::close_all_but(&[keeper, setup.lock.as_fd()])
        .map_err(os_failed(Step::CloseDescriptors))?;
    credentials::keep_only_kill().map_err(os_failed(Step::RestrictInit))
}

/// Reaps orphans until the process `pid` itself has ended.
fn reap_until(pid: i32) -> io::Result<Exit> {
    loop {
        match process::wait_any()? {
            Some((ended, exit)) if ended == pid => return Ok(exit),
            Some(_) => {}
            None => return Err(io::Error::from_raw_os_error(libc::ECHILD)),
        }
    }
}

fn failed(step: Step) -> impl Fn(nix::errno::Errno) -> StepFailure {
    move |errno| StepFailure {
        step,
        index: 0,
        errno: errno as i32,
    }
}

fn os_failed(step: Step) -> impl Fn(io::Error) -> StepFailure {
    move |error| StepFailure {
        step,
        index: 0,
        errno: error.raw_os_error().unwrap_or(libc::EINVAL),
    }
}
