//! Signals to the keeper, as descriptors in the poll loop: they are blocked, never handled. A caller who comes by the
//! broker sends theirs over a [`Line`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::caller::{FATAL, INTERRUPT, Line};
use crate::sys::process;

/// The kernel sends it to a thread that is at real-time priority and has run for longer than its
/// RLIMIT_RTTIME without waiting for anything (setrlimit(2)), and to one above its RLIMIT_CPU.
const TOO_BUSY: Signal = Signal::SIGXCPU;

/// A signal that was sent to the keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// Somebody wants the run to end.
    Interrupt(i32),
    /// Somebody wants the keeper to crash.
    Fatal(i32),
    /// The keeper used a CPU at real-time priority for too long without a pause.
    TooBusy,
}

/// The signals of this process, taken over for as long as it lives, and those of a caller who is another one.
#[derive(Debug)]
pub(crate) struct Signals<'a> {
    own: SignalFd,
    line: Option<&'a Line>,
}

impl<'a> Signals<'a> {
    /// Blocks all signals for this thread, and so for all processes that it makes. Those that are not looked at
    /// are held back: a keeper that dies of an alarm which the caller had set, or is stopped by a key, leaves
    /// a box with the program's files in it and limits that nobody watches.
    pub(crate) fn take_over(line: Option<&'a Line>) -> nix::Result<Self> {
        let own = watch(&[TOO_BUSY])?;
        Ok(Self { own, line })
    }

    /// Holds back what would end the process for a result that cannot be written: a file above the caller's
    /// own limit is an error to be told, not a death.
    pub(crate) fn hold_back_write_errors() -> nix::Result<()> {
        SigSet::from(Signal::SIGXFSZ).thread_block()
    }

    /// Takes one signal, if there is one.
    pub(super) fn take(&self) -> io::Result<Option<Received>> {
        let number = match (self.own.read_signal()?, self.line) {
            (Some(info), _) => Some(info.ssi_signo as i32),
            (None, Some(line)) => line.take()?,
            (None, None) => None,
        };
        Ok(number.and_then(Received::of))
    }

    /// Readable when this process was sent a signal.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.own.as_fd()
    }

    /// Readable when the caller has sent one over the line, as long as there is a line.
    pub(super) fn line(&self) -> Option<BorrowedFd<'_>> {
        self.line.and_then(Line::ready)
    }
}

impl Received {
    /// What a signal means; `None` for one that is not watched.
    fn of(number: i32) -> Option<Self> {
        if number == TOO_BUSY as i32 {
            Some(Self::TooBusy)
        } else if is_among(number, &FATAL) {
            Some(Self::Fatal(number))
        } else {
            is_among(number, &INTERRUPT).then_some(Self::Interrupt(number))
        }
    }
}

fn is_among(number: i32, signals: &[Signal]) -> bool {
    signals.iter().any(|signal| *signal as i32 == number)
}

/// Blocks all signals for this thread, and makes a descriptor for those that end a run, and for `more`.
pub(crate) fn watch(more: &[Signal]) -> nix::Result<SignalFd> {
    process::wait_for_children();
    let watched: SigSet = [&INTERRUPT[..], &FATAL, more]
        .concat()
        .into_iter()
        .collect();
    SigSet::all().thread_block()?;
    SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_signals_that_end_a_run_are_heard() {
        assert_eq!(
            Received::of(libc::SIGTERM),
            Some(Received::Interrupt(libc::SIGTERM))
        );
        assert_eq!(
            Received::of(libc::SIGSEGV),
            Some(Received::Fatal(libc::SIGSEGV))
        );
        for number in [0, -1, libc::SIGCHLD, libc::SIGKILL, 1000] {
            assert_eq!(Received::of(number), None);
        }
    }
}
