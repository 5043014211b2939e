//! One connection to the bus, as bytes: the handshake, then messages one after the other.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use zbus::Message;

use super::message::Incoming;
use super::{BusError, call_of_the_bus};
use crate::sys::socket::send;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Rc<UnixStream>,
    /// What has come and was not taken yet.
    received: Vec<u8>,
    /// What is to be sent once the bus has let us in; `None` from then on.
    held_back: Option<Vec<Message>>,
}

impl Connection {
    /// Connects, and begins the handshake: who it is that connects, the bus learns from the kernel.
    pub(super) fn open(path: &Path) -> Result<Self, BusError> {
        let stream = connect_without_waiting(path).map_err(BusError::Connect)?;
        // EXTERNAL takes the user id in decimal, each digit in hexadecimal. The rest of the handshake need
        // not wait for the answer.
        let digits = nix::unistd::geteuid().to_string();
        let id: String = digits.bytes().map(|digit| format!("{digit:x}")).collect();
        let words = format!("\0AUTH EXTERNAL {id}\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n");
        send(stream.as_fd(), words.as_bytes(), None).map_err(BusError::Connect)?;
        // The first message has to be this one; the bus answers with our name, which nobody asks for.
        let hello = call_of_the_bus("Hello", &()).map_err(BusError::Message)?;
        let_others_run();
        Ok(Self {
            stream: Rc::new(stream),
            received: Vec::new(),
            held_back: Some(vec![hello]),
        })
    }

    /// One whose handshake is over.
    #[cfg(test)]
    pub(super) fn established(stream: UnixStream) -> Self {
        Self {
            stream: Rc::new(stream),
            received: Vec::new(),
            held_back: None,
        }
    }

    /// Where it is heard.
    pub(super) fn stream(&self) -> &Rc<UnixStream> {
        &self.stream
    }

    /// Sends a message, or holds it back until the bus has let us in: a descriptor that comes during the
    /// handshake would be lost.
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

    /// Takes the next message of what was read; `None` when that is none.
    pub(super) fn take(&mut self) -> Result<Option<Incoming>, BusError> {
        if self.held_back.is_some() {
            self.shake_hands()?;
        }
        // The first message may have come with the last word of the handshake.
        match self.held_back {
            Some(_) => Ok(None),
            None => Incoming::take(&mut self.received),
        }
    }

    /// Ends the handshake if its answers are there, and sends what was held back.
    fn shake_hands(&mut self) -> Result<(), BusError> {
        while let Some(end) = self.received.windows(2).position(|bytes| bytes == b"\r\n") {
            let line: Vec<u8> = self.received.drain(..end + 2).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            match line.split(' ').next() {
                Some("OK") => {}
                Some("AGREE_UNIX_FD") => {
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

    /// A message goes out whole: the first few hundred bytes on a connection always fit.
    fn transmit(&self, message: &Message) -> Result<(), BusError> {
        let data = message.data();
        let descriptor = data.fds().first().map(AsFd::as_fd);
        send(self.stream.as_fd(), data.bytes(), descriptor).map_err(BusError::Transfer)
    }

    /// Reads what is there; false when that is nothing.
    pub(super) fn read(&mut self) -> Result<bool, BusError> {
        let mut buffer = [0; 4096];
        loop {
            match (&*self.stream).read(&mut buffer) {
                Ok(0) => return Err(BusError::Disconnected),
                Ok(length) => {
                    self.received.extend_from_slice(&buffer[..length]);
                    return Ok(true);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::ConnectionReset => return Err(BusError::Disconnected),
                    _ => return Err(BusError::Transfer(error)),
                },
            }
        }
    }
}

/// The kernel wakes the bus on our own CPU where CPUs share no cache, as in many virtual machines; there it would
/// wait for us to sleep, while we go on with what is less urgent.
fn let_others_run() {
    nix::sched::sched_yield().ok();
}

/// A socket that does not block at all: with its queue full, a bus that hangs would keep us in connect(2).
fn connect_without_waiting(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
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
        let mut bus = Connection {
            stream: Rc::new(ours),
            received: Vec::new(),
            held_back: Some(vec![call_of_the_bus("Hello", &()).unwrap()]),
        };
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
        assert!(theirs.read(&mut buffer).unwrap() > 100);
        drop(theirs);
        assert!(matches!(receive(&mut bus), Err(BusError::Disconnected)));
    }

    #[test]
    fn a_bus_that_rejects_us_is_quoted() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut bus = Connection {
            stream: Rc::new(ours),
            received: Vec::new(),
            held_back: Some(Vec::new()),
        };
        std::io::Write::write_all(&mut theirs, b"REJECTED EXTERNAL\r\n").unwrap();
        let error = receive(&mut bus).unwrap_err();
        assert!(error.to_string().contains("REJECTED EXTERNAL"), "{error}");
        assert!(!error.is_transient());
    }
}
