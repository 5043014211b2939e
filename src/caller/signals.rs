//! The signals of a caller who is another process.

use std::cell::Cell;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recvmsg};

use crate::sys::socket::send_packet;

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
        send_packet(connection, &signal.to_ne_bytes(), &[], flags)
    }

    /// Readable when something was sent; `None` when the caller is gone.
    pub(crate) fn ready(&self) -> Option<BorrowedFd<'_>> {
        (!self.has_ended.get()).then(|| self.connection.as_fd())
    }

    /// Takes what was sent; once the number of a hang-up when the caller is gone.
    pub(crate) fn take(&self) -> io::Result<Option<i32>> {
        if self.has_ended.get() {
            return Ok(None);
        }
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
}
