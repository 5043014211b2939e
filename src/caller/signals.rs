//! The signals of a caller who is another process.

use std::cell::Cell;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, recvmsg};

use crate::sys::packet::send_packet;

/// The signals that end the run with the verdict "Interrupted".
pub(crate) const INTERRUPT: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];
/// The signals that end the run as an internal error. If the keeper's own fault causes one, rather
/// than kill(2), the kernel ends the keeper although it is blocked, and init with it.
pub(crate) const FATAL: [Signal; 5] = [
    Signal::SIGILL,
    Signal::SIGABRT,
    Signal::SIGFPE,
    Signal::SIGSEGV,
    Signal::SIGBUS,
];

/// The number by which a caller who reads the program's output says that it is too long.
pub(crate) const TOO_MUCH_OUTPUT: Signal = Signal::SIGXFSZ;

/// How many signals a caller may send. Only the first of them has an effect.
const MOST_SIGNALS: u32 = 64;

/// A connection over which a caller sends the numbers of their signals, 4 bytes each. Its end means
/// that the caller is gone, as when a terminal is closed; a caller that sends anything else, or too
/// much, is no longer heard and counts as gone.
#[derive(Debug)]
pub(crate) struct Line {
    connection: OwnedFd,
    has_ended: Cell<bool>,
    /// How many signals have come.
    heard: Cell<u32>,
}

impl Line {
    /// The line over this connection.
    pub(crate) fn new(connection: OwnedFd) -> Self {
        Self {
            connection,
            has_ended: Cell::new(false),
            heard: Cell::new(0),
        }
    }

    /// Sends a signal to the other side.
    pub(crate) fn send(connection: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT;
        send_packet(connection, &signal.to_ne_bytes(), &[], flags)
    }

    /// Readable when something was sent; `None` when the caller is gone.
    pub(crate) fn ready(&self) -> Option<BorrowedFd<'_>> {
        (!self.has_ended.get()).then(|| self.connection.as_fd())
    }

    /// Takes what was sent. When the caller is gone, this is once the number of a hang-up.
    pub(crate) fn take(&self) -> io::Result<Option<i32>> {
        if self.has_ended.get() {
            return Ok(None);
        }
        // One byte more than a number has shows that something longer was sent.
        let mut bytes = [0; 5];
        let socket = self.connection.as_raw_fd();
        let mut receive = |flags| {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let message = recvmsg::<()>(socket, &mut parts, None, flags | MsgFlags::MSG_DONTWAIT)?;
            Ok((message.bytes, message.flags))
        };
        let taken = match receive(MsgFlags::MSG_PEEK) {
            // Descriptors came beside a signal, and stay where they are. To receive and close them
            // may take as long as the caller likes (socket(7), SO_LINGER), while nobody watches the
            // run.
            Ok((_, flags)) if flags.contains(MsgFlags::MSG_CTRUNC) => Ok((0, flags)),
            Ok(_) => receive(MsgFlags::empty()),
            Err(errno) => Err(errno),
        };
        let [a, b, c, d, _] = bytes;
        let number = i32::from_ne_bytes([a, b, c, d]);
        match taken {
            Ok((4, _)) if is_passed_on(number) && self.heard.get() < MOST_SIGNALS => {
                self.heard.set(self.heard.get() + 1);
                Ok(Some(number))
            }
            Ok(_) | Err(Errno::ECONNRESET) => {
                self.has_ended.set(true);
                Ok(Some(libc::SIGHUP))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Whether the other side of a line passes on a signal of this number.
fn is_passed_on(number: i32) -> bool {
    let passed_on = INTERRUPT.iter().chain(&FATAL).chain([&TOO_MUCH_OUTPUT]);
    passed_on.into_iter().any(|signal| *signal as i32 == number)
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
        send_packet(theirs.as_fd(), &[0; 4], &[sent.as_fd()], none).unwrap();
        drop(sent);
        assert_eq!(line.take().unwrap(), Some(libc::SIGHUP));
        assert!(line.has_ended.get());
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&end, flags).unwrap();
        let still_open = nix::unistd::read(&end, &mut [0]);
        assert_eq!(still_open, Err(nix::errno::Errno::EAGAIN));
    }

    #[test]
    fn a_line_that_talks_nonsense_is_hung_up_and_not_read_any_further() {
        let send = |bytes: &[u8]| {
            let (ours, theirs) = pair().unwrap();
            crate::sys::socket::send(theirs.as_fd(), bytes, None).unwrap();
            Line::send(theirs.as_fd(), libc::SIGINT).unwrap();
            let line = Line::new(ours);
            (line.take().unwrap(), line.has_ended.get())
        };
        let numbers = [0, -1, libc::SIGWINCH, libc::SIGCHLD, libc::SIGXCPU, 1000];
        for number in numbers.map(i32::to_ne_bytes) {
            assert_eq!(send(&number), (Some(libc::SIGHUP), true));
        }
        for bytes in [&[15][..], &[15, 0, 0, 0, 0]] {
            assert_eq!(send(bytes), (Some(libc::SIGHUP), true));
        }
        assert_eq!(
            send(&libc::SIGTERM.to_ne_bytes()),
            (Some(libc::SIGTERM), false)
        );
    }

    #[test]
    fn a_caller_who_goes_on_and_on_is_hung_up() {
        let (ours, theirs) = pair().unwrap();
        let line = Line::new(ours);
        for _ in 0..MOST_SIGNALS {
            Line::send(theirs.as_fd(), libc::SIGINT).unwrap();
            assert_eq!(line.take().unwrap(), Some(libc::SIGINT));
        }
        Line::send(theirs.as_fd(), libc::SIGINT).unwrap();
        assert_eq!(line.take().unwrap(), Some(libc::SIGHUP));
        assert!(line.has_ended.get());
    }
}
