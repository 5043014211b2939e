//! Signals to the keeper, as descriptors in the poll loop: they are blocked, never handled. A caller who comes by the
//! broker sends theirs over a line.

use std::cell::Cell;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{MsgFlags, recvmsg};

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

/// The signals of this process, taken over for as long as it lives, and those of a caller who is another one.
#[derive(Debug)]
pub(crate) struct Signals<'a> {
    own: SignalFd,
    line: Option<&'a Line>,
}

/// A connection over which a caller sends the numbers of their signals, 4 bytes each. When it ends, the caller is gone,
/// like somebody whose terminal was closed.
#[derive(Debug)]
pub(crate) struct Line {
    connection: OwnedFd,
    has_ended: Cell<bool>,
}

impl Line {
    /// The line over this connection.
    pub(crate) fn new(connection: OwnedFd) -> Self {
        Self {
            connection,
            has_ended: Cell::new(false),
        }
    }

    /// Sends a signal to the other side.
    pub(crate) fn send(connection: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT;
        crate::sys::socket::send_packet(connection, &signal.to_ne_bytes(), &[], flags)
    }

    /// Takes what was sent; the number of a hang-up when the caller is gone.
    fn take(&self) -> io::Result<Option<i32>> {
        let mut bytes = [0; 4];
        let socket = self.connection.as_raw_fd();
        let mut receive = |flags| {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let message = recvmsg::<()>(socket, &mut parts, None, flags | MsgFlags::MSG_DONTWAIT)?;
            Ok((message.bytes, message.flags))
        };
        let taken = match receive(MsgFlags::MSG_PEEK) {
            // Descriptors beside a signal. They stay where they are: to receive and close them may take as long as the
            // caller likes (socket(7), SO_LINGER), and nobody would watch the run.
            Ok((_, flags)) if flags.contains(MsgFlags::MSG_CTRUNC) => Ok((0, flags)),
            Ok(_) => receive(MsgFlags::empty()),
            Err(errno) => Err(errno),
        };
        match taken {
            Ok((0, _)) | Err(Errno::ECONNRESET) => {
                self.has_ended.set(true);
                Ok(Some(libc::SIGHUP))
            }
            Ok((4, _)) => Ok(Some(i32::from_ne_bytes(bytes))),
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl<'a> Signals<'a> {
    /// Blocks all signals for this thread, and so for all processes that it makes. Those that are not looked at
    /// are held back: a keeper that dies of an alarm which the caller had set, or is stopped by a key, leaves
    /// a box with the program's files in it and limits that nobody watches.
    pub(crate) fn take_over(line: Option<&'a Line>) -> nix::Result<Self> {
        let own = watch(&[])?;
        Ok(Self { own, line })
    }

    /// Holds back what would end the process for a result that cannot be written: a file above the caller's
    /// own limit is an error to be told, not a death.
    pub(crate) fn hold_back_write_errors() -> nix::Result<()> {
        SigSet::from(Signal::SIGXFSZ).thread_block()
    }

    /// Takes one signal, if there is one.
    pub(super) fn take(&self) -> io::Result<Option<Received>> {
        let number = match (self.own.read_signal()?, self.listening()) {
            (Some(info), _) => Some(info.ssi_signo as i32),
            (None, Some(line)) => line.take()?,
            (None, None) => None,
        };
        Ok(number.and_then(Received::of))
    }

    /// One of them is readable when there is one.
    pub(super) fn ready(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let line = self.listening().map(|line| line.connection.as_fd());
        [self.own.as_fd()].into_iter().chain(line)
    }

    fn listening(&self) -> Option<&Line> {
        self.line.filter(|line| !line.has_ended.get())
    }
}

impl Received {
    /// What a signal means; `None` for one that is not watched.
    fn of(number: i32) -> Option<Self> {
        let is_among = |signals: &[Signal]| signals.iter().any(|signal| *signal as i32 == number);
        if is_among(&FATAL) {
            Some(Self::Fatal(number))
        } else {
            is_among(&INTERRUPT).then_some(Self::Interrupt(number))
        }
    }
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
    use crate::sys::socket::pair;

    #[test]
    fn the_end_of_a_line_is_a_hang_up_and_heard_once() {
        let (ours, theirs) = pair().unwrap();
        let line = Line::new(ours);
        assert_eq!(line.take().unwrap(), None);
        Line::send(theirs.as_fd(), libc::SIGINT).unwrap();
        drop(theirs);
        assert_eq!(line.take().unwrap(), Some(libc::SIGINT));
        assert!(!line.has_ended.get());
        assert_eq!(line.take().unwrap(), Some(libc::SIGHUP));
        assert!(line.has_ended.get());
    }

    #[test]
    fn a_signal_with_descriptors_is_a_hang_up_and_they_are_not_closed() {
        let (ours, theirs) = pair().unwrap();
        let line = Line::new(ours);
        let (end, sent) = nix::unistd::pipe().unwrap();
        let none = MsgFlags::empty();
        crate::sys::socket::send_packet(theirs.as_fd(), &[0; 4], &[sent.as_fd()], none).unwrap();
        drop(sent);
        assert_eq!(line.take().unwrap(), Some(libc::SIGHUP));
        assert!(line.has_ended.get());
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&end, flags).unwrap();
        let still_open = nix::unistd::read(&end, &mut [0]);
        assert_eq!(still_open, Err(nix::errno::Errno::EAGAIN));
    }

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
