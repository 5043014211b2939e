//! From a decided run to a program that runs: init is cloned here; [`init`], [`root`] and
//! [`program`] are what happens on the other side. Nothing about limits or directories is decided
//! here, and nobody is watched.
//!
//! ```text
//! keeper ── clone: mount, PID namespaces ──▶ init ── clone into leaf ──▶ program: cgroup namespace
//!    │                                        │ IPC, UTS, network namespaces  │
//!    └──── one socket pair, see [`message`] ──┴───────────────────────────────┘
//! ```
//!
//! Where they stand ready with the scope, init goes into all of them but the PID namespace instead.

mod affinity;
mod etc;
pub(crate) mod failure;
mod file_systems;
mod filter;
mod foreign_mounts;
pub(crate) mod id_map;
mod init;
pub(crate) mod message;
mod mount_point;
mod namespaces;
mod obstacles;
mod ordinary;
mod program;
mod program_file;
mod program_setup;
mod progress;
mod purpose;
mod root;
mod shown_cgroup;
pub(crate) mod sources;
mod spare;
mod spare_dev;
pub(crate) mod standard;
pub(crate) mod step;
mod traces;

pub(crate) use affinity::online_cpus;
pub(crate) use init::InitSetup;
pub(crate) use namespaces::{Coming, Namespaces, Network};
pub(crate) use ordinary::become_ordinary;
pub(crate) use program_setup::{Foreground, ProgramSetup};
pub(crate) use spare::{Ready, Spare};

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use affinity::Cpu;

use crate::barrier::Barrier;
use crate::sys::process::{self, Cloned};
use crate::sys::socket;

/// A running init, as the keeper has it.
#[derive(Debug)]
pub(crate) struct Init {
    /// Its number in the keeper's PID namespace.
    pub(crate) pid: i32,
    /// Readable when it has ended.
    pub(crate) pidfd: OwnedFd,
    /// The keeper's end of the socket pair.
    pub(crate) socket: OwnedFd,
}

/// How long init may take to end when it is let go. It has a patience of its own, which is shorter.
pub(crate) const LEAVE_PATIENCE: Duration = Duration::from_secs(5);

impl Init {
    /// Tells init to build the sandbox. The keeper finds out later if init is gone already.
    pub(crate) fn begin(&self) -> io::Result<()> {
        match message::FromKeeper::Begin.send(self.socket.as_fd(), None) {
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => Ok(()),
            other => other,
        }
    }

    /// Waits for its end.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let exit = process::wait_for(self.pidfd.as_fd())?;
        log::debug!("init ended: {exit:?}");
        Ok(())
    }

    /// Tells init to end, which it does once systemd has moved it, see [`init`].
    pub(crate) fn let_go(&self) {
        let told = message::FromKeeper::Leave.send(self.socket.as_fd(), None);
        log::debug!("init is let go: {told:?}");
    }
}

impl Drop for Init {
    /// Leaves nothing of the run alive, whatever went wrong. Neither call does anything when init
    /// has ended and was waited for.
    fn drop(&mut self) {
        drop(process::send_signal(self.pidfd.as_fd(), libc::SIGKILL));
        drop(self.wait());
    }
}

/// Who moves a new init into another cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moves {
    /// Nobody.
    Never,
    /// systemd, which is asked for a scope around init, or the keeper.
    BySystemd,
}

/// Clones init into its namespaces and, if its cgroup exists already (`door`), into that. init
/// builds the sandbox when it is told to ([`Init::begin`]), and then waits for
/// [`message::FromKeeper::Go`]. The calling process must have one thread only.
///
/// The clone makes only the mount and PID namespaces, because the keeper waits for it, and only the
/// PID namespace where all others stand ready. init makes
/// the others itself while the keeper talks to systemd, or enters prepared ones ([`Namespaces`],
/// `spare`).
///
/// The program gets its own cgroup namespace later. With `nsdelegate` a process in one could not
/// clone into a leaf outside of it, and init may move to its scope only later.
pub(crate) fn spawn(
    setup: &InitSetup<'_>,
    door: Option<BorrowedFd<'_>>,
    moves: Moves,
    spare: Option<Spare<'_>>,
) -> io::Result<Init> {
    let (keeper, init) = socket::pair()?;
    let keeper_pid = std::process::id();
    // Where namespaces stand ready, init has its mounts from there.
    let known = traces::knows_all_of(setup.syscalls);
    let spare = spare.filter(|_| known && spare::is_possible());
    let mounts = if spare.is_some() {
        0
    } else {
        libc::CLONE_NEWNS
    };
    let namespaces = mounts | Barrier::PidNamespace.of(libc::CLONE_NEWPID);
    // While init builds the sandbox, it stays on the CPU of the keeper, which mostly waits. On
    // another CPU it would be in the way of the bus and systemd: the kernel wakes them where they
    // ran last, even if other CPUs are idle.
    let cpu = match moves {
        Moves::BySystemd => affinity::stay_on_cpu(),
        Moves::Never => Cpu::Any,
    };
    let spawned = match process::clone(namespaces, door) {
        Ok(Cloned::Child) => {
            drop(keeper);
            let moved_beside = (moves == Moves::BySystemd).then_some(keeper_pid);
            init::run(setup, &init, moved_beside, cpu, spare)
        }
        Ok(Cloned::Parent { pid, pidfd }) => Ok(Init {
            pid,
            pidfd,
            socket: keeper,
        }),
        Err(error) => Err(error),
    };
    if cpu == Cpu::Keepers {
        affinity::leave_cpu()?;
    }
    spawned
}
