//! A process that keeps a scope for a later run, because systemd makes no scope without a process.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::prctl;

use crate::cgroup::Whereabouts;
use crate::launch::become_ordinary;
use crate::sys::poll::{self, Until};
use crate::sys::process::{self, Cloned};
use crate::sys::socket;

/// The name of a holder in a list of processes.
pub(super) const NAME: &CStr = c"isolate-holder";

/// How long a holder waits to be moved before it ends: the request may not have been sent, or was
/// refused.
pub(super) const MOVE_PATIENCE: Duration = Duration::from_secs(6);

/// How long one that was killed may take to end.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// A holder, as its keeper has it. When this is dropped or the keeper dies, the process ends as
/// soon as it was moved; one that was left behind by an earlier command does not.
#[derive(Debug)]
pub(crate) struct Holder {
    pid: i32,
    pidfd: OwnedFd,
    /// Nothing is sent over it; closing it is the message.
    _socket: Option<OwnedFd>,
}

impl Holder {
    /// Makes one. The calling process must have one thread only.
    pub(crate) fn make() -> io::Result<Self> {
        let (ours, theirs) = socket::pair()?;
        let keeper_pid = std::process::id();
        match process::clone(0, None)? {
            Cloned::Child => {
                drop(ours);
                hold(theirs.as_fd(), keeper_pid);
                process::exit_now(0)
            }
            Cloned::Parent { pid, pidfd } => Ok(Self {
                pid,
                pidfd,
                _socket: Some(ours),
            }),
        }
    }

    /// One that was made by somebody else.
    pub(super) fn of(pid: i32, pidfd: OwnedFd) -> Self {
        Self {
            pid,
            pidfd,
            _socket: None,
        }
    }

    /// Its number.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// A descriptor of it, readable when it has ended.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Whether it has ended. If so, it is waited for.
    pub(crate) fn has_ended(&self) -> bool {
        process::reap(self.pidfd.as_fd())
    }

    /// Tells the holder to end once it was moved, and returns the descriptor to wait on. The wait
    /// may be as long as processes of the slice wait for a CPU.
    pub(crate) fn let_go(self) -> OwnedFd {
        self.pidfd
    }

    /// Kills a holder that was moved, and waits for its end.
    pub(crate) fn end(self) {
        // It may have ended.
        process::send_signal(self.pidfd.as_fd(), libc::SIGKILL).ok();
        let until = Until::within(END_PATIENCE);
        poll::first([((), poll::readable(self.pidfd.as_fd()))], until).ok();
        process::reap(self.pidfd.as_fd());
    }
}

/// The life of a holder, which can tell nobody about its failures.
fn hold(keeper: BorrowedFd<'_>, keeper_pid: u32) {
    prctl::set_name(NAME).ok();
    become_ordinary().ok();
    // Otherwise the open descriptors of its keeper would stay open.
    if process::close_all_but(&[], keeper).is_err() {
        return;
    }
    let whereabouts = Whereabouts::beside(keeper_pid);
    let mut nothing = [0];
    while socket::receive(keeper, &mut nothing).is_ok_and(|(length, _)| length > 0) {}
    if let Ok(whereabouts) = whereabouts {
        whereabouts.wait_for_another(MOVE_PATIENCE);
    }
}
