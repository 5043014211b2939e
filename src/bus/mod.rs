//! A connection to the system bus: the handshake, and messages as they come and go.
//!
//! One descriptor that never blocks, for the keeper's poll loop. The library's own connection would bring
//! threads and an executor, which cost a short run more than the whole conversation does; messages are
//! built and taken apart by the library. The protocol is the D-Bus specification's: "Authentication
//! Protocol" and "Message Protocol".
//!
//! The address is fixed: an environment variable could name a bus of somebody else's.

mod message;

use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use zbus::Message;
use zbus::zvariant::Type;

pub(crate) use message::{Incoming, Kind};

use crate::sys::socket::send;

/// Where the system bus is.
pub(crate) const SOCKET: &str = "/run/dbus/system_bus_socket";

/// Why a conversation with the bus ended.
#[derive(Debug)]
pub(crate) enum BusError {
    /// The bus cannot be reached.
    Connect(io::Error),
    /// The bus does not accept this process.
    Rejected(String),
    /// Reading or writing failed.
    Transfer(io::Error),
    /// A message cannot be built or understood.
    Message(zbus::Error),
    /// The bus ended the connection.
    Disconnected,
    /// The call was answered by an error.
    Refused {
        /// Who was asked, as people know it: `systemd`.
        by: &'static str,
        /// The error's name, as `org.freedesktop.DBus.Error.NoReply`.
        name: String,
        /// Its text.
        text: String,
    },
    /// The job that was asked for ended otherwise than well.
    Job(String),
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(_) => write!(
                f,
                "cannot connect to the system bus at {SOCKET} (is dbus running?)"
            ),
            Self::Rejected(answer) => {
                write!(f, "the system bus does not let this process in ({answer})")
            }
            Self::Transfer(_) => f.write_str("cannot talk to the system bus"),
            Self::Message(_) => f.write_str("cannot make sense of the system bus"),
            Self::Disconnected => f.write_str("the connection to the system bus was cut"),
            Self::Refused { by, name, text } => write!(f, "{by} refused: {text} ({name})"),
            Self::Job(result) => write!(f, "systemd's job for it ended as '{result}'"),
        }
    }
}

impl std::error::Error for BusError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) | Self::Transfer(error) => Some(error),
            Self::Message(error) => Some(error),
            _ => None,
        }
    }
}

impl BusError {
    /// An error with which somebody answered a call.
    pub(crate) fn refusal(by: &'static str, error: &Incoming) -> Self {
        Self::Refused {
            by,
            name: error.error_name.clone(),
            // By convention the first argument is a text for people.
            text: error.body().unwrap_or_default(),
        }
    }

    /// Whether the same request may well succeed a moment later: the bus or who was asked was being restarted,
    /// or the name was taken.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Disconnected | Self::Transfer(_) => true,
            Self::Refused { name, .. } => [
                "org.freedesktop.DBus.Error.NoReply",
                "org.freedesktop.DBus.Error.Disconnected",
                "org.freedesktop.DBus.Error.LimitsExceeded",
                "org.freedesktop.DBus.Error.NameHasNoOwner",
                "org.freedesktop.DBus.Error.ServiceUnknown",
                "org.freedesktop.systemd1.UnitExists",
            ]
            .contains(&name.as_str()),
            Self::Rejected(_) | Self::Message(_) | Self::Job(_) => false,
        }
    }
}

/// A connection to the system bus.
#[derive(Debug)]
pub(crate) struct Bus {
    stream: UnixStream,
    /// What has come and was not taken yet.
    received: Vec<u8>,
    /// What is to be sent once the bus has let us in; `None` from then on.
    held_back: Option<Vec<Message>>,
}

impl Bus {
    /// Whether there is a system bus.
    pub(crate) fn is_there() -> bool {
        Path::new(SOCKET).exists()
    }

    /// Connects and begins the handshake; who it is that connects, the bus learns from the kernel.
    pub(crate) fn connect() -> Result<Self, BusError> {
        Self::connect_to(Path::new(SOCKET))
    }

    /// Connects to a bus elsewhere: a test's.
    pub(crate) fn connect_to(path: &Path) -> Result<Self, BusError> {
        let stream = open(path).map_err(BusError::Connect)?;
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
            stream,
            received: Vec::new(),
            held_back: Some(vec![hello]),
        })
    }

    /// Sends a message, or holds it back until the bus has let us in: a descriptor that comes during the
    /// handshake would be lost.
    pub(crate) fn send(&mut self, message: Message) -> Result<(), BusError> {
        match &mut self.held_back {
            Some(held_back) => {
                held_back.push(message);
                Ok(())
            }
            None => self.transmit(&message),
        }
    }

    /// Whether nothing is held back.
    pub(crate) fn has_sent(&self) -> bool {
        self.held_back.is_none()
    }

    /// Sends what was held back, if the bus has let us in by now.
    pub(crate) fn flush(&mut self) -> Result<(), BusError> {
        if self.held_back.is_some() && self.read()? {
            self.shake_hands()?;
        }
        let_others_run();
        Ok(())
    }

    /// Takes the next message; `None` when nothing more has come.
    pub(crate) fn receive(&mut self) -> Result<Option<Incoming>, BusError> {
        loop {
            if self.held_back.is_some() {
                self.shake_hands()?;
            }
            // The first message may have come with the last word of the handshake.
            if self.held_back.is_none() {
                if let Some(message) = Incoming::take(&mut self.received)? {
                    return Ok(Some(message));
                }
            }
            if !self.read()? {
                return Ok(None);
            }
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
    fn read(&mut self) -> Result<bool, BusError> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
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

impl AsFd for Bus {
    /// Readable when something has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The kernel wakes the bus on our own CPU where CPUs share no cache, as in many virtual machines; there it would
/// wait for us to sleep, while we go on with what is less urgent.
fn let_others_run() {
    nix::sched::sched_yield().ok();
}

/// A socket that does not block at all: with its queue full, a bus that hangs would keep us in connect(2).
fn open(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket.into())
}

/// The number that an answer to the message refers to.
pub(crate) fn serial(message: &Message) -> u32 {
    message.primary_header().serial_num().get()
}

/// A call of the bus daemon itself.
pub(crate) fn call_of_the_bus<B>(member: &str, body: &B) -> zbus::Result<Message>
where
    B: serde::Serialize + Type,
{
    Message::method_call("/org/freedesktop/DBus", member)?
        .destination("org.freedesktop.DBus")?
        .interface("org.freedesktop.DBus")?
        .build(body)
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        Self::Message(error)
    }
}

#[cfg(test)]
mod tests {
    use super::message::tests::signal;
    use super::*;

    #[test]
    fn nothing_is_sent_before_the_bus_has_let_us_in() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut bus = Bus {
            stream: ours,
            received: Vec::new(),
            held_back: Some(vec![call_of_the_bus("Hello", &()).unwrap()]),
        };
        let mut theirs = theirs;
        let mut buffer = [0; 4096];
        assert!(bus.receive().unwrap().is_none());
        assert!(theirs.read(&mut buffer).is_err());
        std::io::Write::write_all(&mut theirs, b"OK 0123\r\nAGREE_UNIX").unwrap();
        assert!(bus.receive().unwrap().is_none());
        assert!(theirs.read(&mut buffer).is_err());
        std::io::Write::write_all(&mut theirs, b"_FD\r\n").unwrap();
        std::io::Write::write_all(&mut theirs, signal(&(1, "one")).data().bytes()).unwrap();
        assert_eq!(bus.receive().unwrap().unwrap().member, "D");
        assert!(theirs.read(&mut buffer).unwrap() > 100);
        drop(theirs);
        assert!(matches!(bus.receive(), Err(BusError::Disconnected)));
    }

    #[test]
    fn a_bus_that_rejects_us_is_quoted() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut bus = Bus {
            stream: ours,
            received: Vec::new(),
            held_back: Some(Vec::new()),
        };
        std::io::Write::write_all(&mut theirs, b"REJECTED EXTERNAL\r\n").unwrap();
        let error = bus.receive().unwrap_err();
        assert!(error.to_string().contains("REJECTED EXTERNAL"), "{error}");
        assert!(!error.is_transient());
    }
}
