//! One connection to the bus, as bytes: the handshake, then messages one after the other.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use zbus::Message;

use super::inbox::Inbox;
use super::message::Incoming;
use super::{BusError, Carries, call_of_the_bus};
use crate::sys::socket::{Bytes, receive_bytes, send};
use crate::way;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Rc<UnixStream>,
    carries: Carries,
    /// There is no bus in between.
    is_direct: bool,
    /// A descriptor that nobody asked for lies in front of everything still to be read, so nothing
    /// more is read.
    is_spoilt: bool,
    inbox: Inbox,
    /// The messages for when the bus has let us in; `None` from then on.
    held_back: Option<Vec<Message>>,
}

impl Connection {
    /// Connects to a bus and begins the handshake. The bus learns from the kernel who connects.
    pub(super) fn to_bus(path: &Path, carries: Carries) -> Result<Self, BusError> {
        // This must be the first message. The bus answers with our name, which nobody here needs.
        let hello = call_of_the_bus("Hello", &()).map_err(BusError::Message)?;
        Self::open(path, carries, vec![hello])
    }

    /// Connects to a peer, which speaks the protocol without a bus, and begins the handshake.
    pub(super) fn to_peer(path: &Path, carries: Carries) -> Result<Self, BusError> {
        Self::open(path, carries, Vec::new()).map(|connection| Self {
            is_direct: true,
            ..connection
        })
    }

    fn open(path: &Path, carries: Carries, first: Vec<Message>) -> Result<Self, BusError> {
        let stream = connect_without_waiting(path).map_err(BusError::Connect)?;
        // EXTERNAL takes the user id in decimal, each digit in hexadecimal. The rest of the
        // handshake need not wait for the answer.
        let digits = way::outside(nix::unistd::geteuid().as_raw()).to_string();
        let id: String = digits.bytes().map(|digit| format!("{digit:x}")).collect();
        let negotiation = match carries {
            Carries::Descriptors => "NEGOTIATE_UNIX_FD\r\n",
            Carries::Bytes => "",
        };
        let words = format!("\0AUTH EXTERNAL {id}\r\n{negotiation}BEGIN\r\n");
        send(stream.as_fd(), words.as_bytes(), None).map_err(BusError::Connect)?;
        let_others_run();
        Ok(Self::over(stream, carries, Some(first)))
    }

    fn over(stream: UnixStream, carries: Carries, held_back: Option<Vec<Message>>) -> Self {
        Self {
            stream: Rc::new(stream),
            carries,
            is_direct: false,
            is_spoilt: false,
            inbox: Inbox::default(),
            held_back,
        }
    }

    /// A connection whose handshake is over.
    #[cfg(test)]
    pub(super) fn established(stream: UnixStream) -> Self {
        Self::over(stream, Carries::Descriptors, None)
    }

    /// Whether there is no bus in between.
    pub(super) fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// What messages on this connection may have beside them.
    pub(super) fn carries(&self) -> Carries {
        self.carries
    }

    /// The socket.
    pub(super) fn stream(&self) -> &Rc<UnixStream> {
        &self.stream
    }

    /// Sends a message, or holds it back until the bus has let us in: a descriptor that comes
    /// during the handshake would be lost.
    pub(super) fn send(&mut self, message: Message) -> Result<(), BusError> {
        match &mut self.held_back {
            Some(held_back) => {
                held_back.push(message);
                Ok(())
            }
            None => self.transmit(&message),
        }
    }

    /// Whether nothing is held back.
    pub(super) fn has_sent(&self) -> bool {
        self.held_back.is_none()
    }

    /// Sends what was held back, if the bus has let us in by now.
    pub(super) fn flush(&mut self) -> Result<(), BusError> {
        if self.held_back.is_some() && self.read()? {
            self.shake_hands()?;
        }
        let_others_run();
        Ok(())
    }

    /// Takes the next message of those that were read; `None` when there is none.
    pub(super) fn take(&mut self) -> Result<Option<Incoming>, BusError> {
        if self.held_back.is_some() {
            self.shake_hands()?;
        }
        // The first message may have come together with the last word of the handshake.
        match self.held_back {
            Some(_) => Ok(None),
            None => self.inbox.take(),
        }
    }

    /// Ends the handshake if its answers are there, and sends what was held back.
    fn shake_hands(&mut self) -> Result<(), BusError> {
        while let Some(line) = self.inbox.take_line() {
            match (line.split(' ').next(), self.carries) {
                (Some("OK"), Carries::Descriptors) => {}
                (Some("OK"), Carries::Bytes) | (Some("AGREE_UNIX_FD"), Carries::Descriptors) => {
                    for message in self.held_back.take().unwrap_or_default() {
                        self.transmit(&message)?;
                    }
                    return Ok(());
                }
                _ => return Err(BusError::Rejected(line)),
            }
        }
        Ok(())
    }

    /// Sends a whole message: the first few hundred bytes on a connection always fit.
    fn transmit(&self, message: &Message) -> Result<(), BusError> {
        let data = message.data();
        let descriptor = data.fds().first().map(AsFd::as_fd);
        send(self.stream.as_fd(), data.bytes(), descriptor).map_err(BusError::Transfer)
    }

    /// Reads some of what is there; false when nothing is. After a descriptor it never reads again.
    pub(super) fn read(&mut self) -> Result<bool, BusError> {
        if self.is_spoilt {
            return Err(BusError::Descriptors);
        }
        let mut buffer = [0; AT_ONCE];
        let read = loop {
            match receive_bytes(self.stream.as_fd(), &mut buffer) {
                Ok(read) => break read,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::ConnectionReset => return Err(BusError::Disconnected),
                    _ => return Err(BusError::Transfer(error)),
                },
            }
        };
        let length = match read {
            Bytes::Read(0) => return Err(BusError::Disconnected),
            Bytes::Read(length) => length,
            Bytes::Unread(length) => {
                // The socket stays open for as long as this process exists: closing it would close
                // what lies in it, as reading would. The kernel does not linger for a process that
                // ends (inet_release).
                mem::forget(Rc::clone(&self.stream));
                self.is_spoilt = true;
                length
            }
        };
        self.inbox.add(buffer.get(..length).unwrap_or_default());
        Ok(true)
    }
}

/// How much is read at once, in bytes.
const AT_ONCE: usize = 4096;

/// Lets the bus run. Where CPUs share no cache, as in many virtual machines, the kernel wakes the
/// bus on our own CPU, where it would wait until we sleep, while our next work is less urgent.
fn let_others_run() {
    nix::sched::sched_yield().ok();
}

/// Connects a socket that does not block at all: with a full queue, a bus that hangs would keep us
/// in connect(2).
fn connect_without_waiting(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::bus::message::tests::signal;

    fn receive(connection: &mut Connection) -> Result<Option<Incoming>, BusError> {
        loop {
            match connection.take()? {
                None if connection.read()? => {}
                taken => return Ok(taken),
            }
        }
    }

    #[test]
    fn nothing_is_sent_before_the_bus_has_let_us_in() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let hello = call_of_the_bus("Hello", &()).unwrap();
        let as_built = hello.data().bytes().to_vec();
        let mut bus = Connection::over(ours, Carries::Descriptors, Some(vec![hello]));
        let mut theirs = theirs;
        let mut buffer = [0; 4096];
        assert!(receive(&mut bus).unwrap().is_none());
        assert!(theirs.read(&mut buffer).is_err());
        std::io::Write::write_all(&mut theirs, b"OK 0123\r\nAGREE_UNIX").unwrap();
        assert!(receive(&mut bus).unwrap().is_none());
        assert!(theirs.read(&mut buffer).is_err());
        std::io::Write::write_all(&mut theirs, b"_FD\r\n").unwrap();
        std::io::Write::write_all(&mut theirs, signal(&(1, "one")).data().bytes()).unwrap();
        assert_eq!(receive(&mut bus).unwrap().unwrap().member, "D");
        let length = theirs.read(&mut buffer).unwrap();
        assert_eq!(buffer[..length], as_built);
        drop(theirs);
        assert!(matches!(receive(&mut bus), Err(BusError::Disconnected)));
    }

    #[test]
    fn a_bus_that_rejects_us_is_quoted() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut bus = Connection::over(ours, Carries::Bytes, Some(Vec::new()));
        std::io::Write::write_all(&mut theirs, b"REJECTED EXTERNAL\r\n").unwrap();
        let error = receive(&mut bus).unwrap_err();
        assert!(error.to_string().contains("REJECTED EXTERNAL"), "{error}");
        assert!(!error.is_transient());
    }

    #[test]
    fn a_descriptor_that_nobody_asked_for_is_never_received_and_what_came_before_it_is() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut bus = Connection::established(ours);
        let (watched, kept) = UnixStream::pair().unwrap();
        kept.set_nonblocking(true).unwrap();
        let message = signal(&(1, "one"));
        let bytes = message.data().bytes();
        send(theirs.as_fd(), bytes, None).unwrap();
        send(theirs.as_fd(), bytes, Some(watched.as_fd())).unwrap();
        send(theirs.as_fd(), bytes, None).unwrap();
        drop(watched);
        assert_eq!(receive(&mut bus).unwrap().unwrap().member, "D");
        assert_eq!(receive(&mut bus).unwrap().unwrap().member, "D");
        for _ in 0..2 {
            assert!(matches!(receive(&mut bus), Err(BusError::Descriptors)));
        }
        drop(bus);
        drop(theirs);
        // Nobody has closed it: the other end has not reached its end.
        let mut end = &kept;
        let error = end.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
