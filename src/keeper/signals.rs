//! Signals to the keeper, as descriptors in its poll loop: they are blocked, never handled. A
//! caller that comes by the broker sends signals over a line.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::caller::{FATAL, INTERRUPT, Line, TOO_MUCH_OUTPUT};
use crate::sys::signals;

/// The signal for a thread at real-time priority that has run for its RLIMIT_RTTIME without waiting
/// (setrlimit(2)). A thread above its RLIMIT_CPU gets it, too.
const TOO_BUSY: Signal = Signal::SIGXCPU;

/// A signal that was sent to the keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// Somebody wants the run to end.
    Interrupt(i32),
    /// The caller reads the program's output, which is too long.
    TooMuchOutput,
    /// Somebody wants the keeper to crash.
    Fatal(i32),
    /// The keeper used a CPU at real-time priority for too long without a pause.
    TooBusy,
}

/// The signals of this process, for as long as it lives, and those of a caller in another process.
#[derive(Debug)]
pub(crate) struct Signals<'a> {
    own: SignalFd,
    line: Option<&'a Line>,
}

impl<'a> Signals<'a> {
    /// Blocks all signals for this thread and the processes that it makes, also those that nobody
    /// reads. A keeper that an alarm of the caller's kills, or a key stops, would leave a box with
    /// files of the program and limits that nobody watches.
    pub(crate) fn take_over(line: Option<&'a Line>) -> io::Result<Self> {
        let own = watch(&[TOO_BUSY])?;
        Ok(Self { own, line })
    }

    /// Blocks the signal for writing above the caller's file size limit: a result that cannot be
    /// written is an error to be told, not a death.
    pub(crate) fn hold_back_write_errors() -> nix::Result<()> {
        SigSet::from(Signal::SIGXFSZ).thread_block()
    }

    /// Takes one signal, if there is one.
    pub(super) fn take(&self) -> io::Result<Option<Received>> {
        let number = match (self.own.read_signal()?, self.line) {
            (Some(info), _) => return Ok(Received::of(info.ssi_signo as i32)),
            (None, Some(line)) => line.take()?,
            (None, None) => None,
        };
        if number == Some(TOO_MUCH_OUTPUT as i32) {
            return Ok(Some(Received::TooMuchOutput));
        }
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

/// Blocks all signals for this thread, and makes a descriptor for those that end a run and for
/// `more`. What the caller ignores stays without effect: a blocked signal would come all the same.
pub(crate) fn watch(more: &[Signal]) -> io::Result<SignalFd> {
    signals::wait_for_children();
    let mut watched: SigSet = more.iter().copied().collect();
    for signal in INTERRUPT.into_iter().chain(FATAL) {
        if !signals::is_ignored(signal)? {
            watched.add(signal);
        }
    }
    SigSet::all().thread_block()?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&watched, flags)?)
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
