//! Signals to the keeper, as a descriptor in the poll loop: they are blocked, never handled.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::sys::process;

/// They end the run with the verdict "Interrupted".
const INTERRUPT: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];
/// They end the run as an internal error. When they come from a fault of the keeper's own and not from
/// kill(2), the kernel ends the keeper in spite of the block, and init with it.
const FATAL: [Signal; 5] = [
    Signal::SIGILL,
    Signal::SIGABRT,
    Signal::SIGFPE,
    Signal::SIGSEGV,
    Signal::SIGBUS,
];
/// A signal that was sent to the keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// Somebody wants the run to end.
    Interrupt(i32),
    /// Somebody wants the keeper to crash.
    Fatal(i32),
}

/// The signals of this process, taken over for as long as it lives.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Blocks all signals for this thread, and so for all processes that it makes. Those that are not looked at
    /// are held back: a keeper that dies of an alarm which the caller had set, or is stopped by a key, leaves
    /// a box with the program's files in it and limits that nobody watches.
    pub(crate) fn take_over() -> nix::Result<Self> {
        process::wait_for_children();
        let set = |signals: &[Signal]| signals.iter().copied().collect::<SigSet>();
        let mut watched = set(&INTERRUPT);
        watched.extend(&set(&FATAL));
        SigSet::all().thread_block()?;
        SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map(Self)
    }

    /// Holds back what would end the process for a result that cannot be written: a file above the caller's
    /// own limit is an error to be told, not a death.
    pub(crate) fn hold_back_write_errors() -> nix::Result<()> {
        SigSet::from(Signal::SIGXFSZ).thread_block()
    }

    /// Takes one signal, if there is one.
    pub(super) fn take(&self) -> nix::Result<Option<Received>> {
        let Some(info) = self.0.read_signal()? else {
            return Ok(None);
        };
        let number = info.ssi_signo as i32;
        let is_fatal = FATAL.iter().any(|signal| *signal as i32 == number);
        Ok(Some(if is_fatal {
            Received::Fatal(number)
        } else {
            Received::Interrupt(number)
        }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
