//! D-Bus: connections to the system bus or to a peer, and messages in both directions. Whom to ask
//! for what is not known here.
//!
//! A connection is one descriptor that never blocks, for the keeper's poll loop. The library builds
//! messages and takes them apart; its own connection would bring threads and an executor, which
//! cost a short run more than the whole conversation. The protocol is in the D-Bus specification:
//! "Authentication Protocol" and "Message Protocol".
//!
//! Everybody on the machine may send us messages, and none of them affects a run: see
//! [`Inbox`](inbox::Inbox) about long ones, [`Carries`] about descriptors, and [`Bus::receive`]
//! about how much is read at once.
//!
//! The address of the system bus is fixed: an environment variable could name somebody else's bus.

mod connection;
mod error;
mod inbox;
mod message;
mod pending;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;

use zbus::Message;
use zbus::zvariant::Type;

use connection::Connection;
pub(crate) use error::BusError;
pub(crate) use message::{Incoming, Kind};
pub(crate) use pending::Pending;

use crate::way;

/// Where the system bus is.
const SYSTEM: &str = "/run/dbus/system_bus_socket";

/// Where the bus is: the system's, or that of the user where they have everything by themselves.
pub(crate) fn address() -> &'static Path {
    way::rootless().map_or(Path::new(SYSTEM), |rootless| &rootless.bus)
}

/// What messages on a connection may have beside them. With descriptors, anybody on the machine can
/// send us one: it is never received and ends the connection, whose task is then done without
/// descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    /// Nothing: the bus lets no descriptor through.
    Bytes,
    /// Descriptors, where they are needed.
    Descriptors,
}

/// A connection to the system bus, or a share of one that somebody else has, too.
#[derive(Debug)]
pub(crate) struct Bus {
    stream: Rc<UnixStream>,
    shared: Rc<RefCell<Shared>>,
    /// Its number among the parties.
    me: usize,
}

/// A connection and its users.
#[derive(Debug)]
struct Shared {
    connection: Connection,
    /// The users; `None` is one that has left. The first had the connection alone, and also gets
    /// signals of those that have answered it.
    parties: Vec<Option<Party>>,
}

/// A user of a connection.
#[derive(Debug, Default)]
struct Party {
    /// The serial numbers of its calls.
    calls: Vec<u32>,
    /// The names of those that have answered them.
    answerers: Vec<String>,
    /// The messages for this user.
    mail: VecDeque<Incoming>,
}

/// How many reads in a row may bring a user nothing.
const READS: usize = 16;

impl Bus {
    /// Whether there is a system bus.
    pub(crate) fn is_there() -> bool {
        address().exists()
    }

    /// Connects and begins the handshake.
    pub(crate) fn connect(carries: Carries) -> Result<Self, BusError> {
        Self::connect_to(address(), carries)
    }

    /// Connects to the bus of the machine, also where a user has everything by themselves.
    pub(crate) fn of_machine() -> Result<Self, BusError> {
        Self::connect_to(Path::new(SYSTEM), Carries::Bytes)
    }

    /// Connects to a bus elsewhere, for tests.
    pub(crate) fn connect_to(path: &Path, carries: Carries) -> Result<Self, BusError> {
        Connection::to_bus(path, carries).map(Self::over)
    }

    /// Connects to somebody who speaks the protocol without a bus, and begins the handshake.
    pub(crate) fn to_peer(path: &Path, carries: Carries) -> Result<Self, BusError> {
        Connection::to_peer(path, carries).map(Self::over)
    }

    /// Whether there is nobody between us and whom we talk to. Then there are no names either:
    /// senders have none.
    pub(crate) fn is_direct(&self) -> bool {
        self.shared.borrow().connection.is_direct()
    }

    /// What messages on this connection may have beside them.
    pub(crate) fn carries(&self) -> Carries {
        self.shared.borrow().connection.carries()
    }

    fn over(connection: Connection) -> Self {
        Self {
            stream: Rc::clone(connection.stream()),
            shared: Rc::new(RefCell::new(Shared {
                connection,
                parties: vec![Some(Party::default())],
            })),
            me: 0,
        }
    }

    /// The same connection for another user, who gets only the answers to their own calls. A user
    /// that waits asks [`Self::has_mail`] of all users first.
    pub(crate) fn share(&self) -> Self {
        let mut shared = self.shared.borrow_mut();
        shared.parties.push(Some(Party::default()));
        Self {
            stream: Rc::clone(&self.stream),
            shared: Rc::clone(&self.shared),
            me: shared.parties.len() - 1,
        }
    }

    /// Sends a message, or holds it back until the bus has let us in: a descriptor that comes
    /// during the handshake would be lost.
    pub(crate) fn send(&mut self, message: Message) -> Result<(), BusError> {
        let mut shared = self.shared.borrow_mut();
        if let Some(party) = &mut shared.parties[self.me] {
            party.calls.push(serial(&message));
        }
        shared.connection.send(message)
    }

    /// Whether nothing is held back.
    pub(crate) fn has_sent(&self) -> bool {
        self.shared.borrow().connection.has_sent()
    }

    /// Sends what was held back, if the bus has let us in by now.
    pub(crate) fn flush(&mut self) -> Result<(), BusError> {
        self.shared.borrow_mut().connection.flush()
    }

    /// Whether something has come while another user received.
    pub(crate) fn has_mail(&self) -> bool {
        let shared = self.shared.borrow();
        let party = shared.parties[self.me].as_ref();
        party.is_some_and(|party| !party.mail.is_empty())
    }

    /// Takes the next message. `None` means that nothing more has come, or that much has come for
    /// nobody: a caller that waits has to look at its deadlines, and is told at once that there is
    /// more.
    pub(crate) fn receive(&mut self) -> Result<Option<Incoming>, BusError> {
        let mut shared = self.shared.borrow_mut();
        for _ in 0..READS {
            // Everything that was read is handed out: nothing would tell the other users that it is
            // there.
            while let Some(message) = shared.connection.take()? {
                shared.deliver(message);
            }
            let party = shared.parties[self.me].as_mut();
            if let Some(message) = party.and_then(|party| party.mail.pop_front()) {
                return Ok(Some(message));
            }
            if !shared.connection.read()? {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

impl Shared {
    fn deliver(&mut self, message: Incoming) {
        let mut parties = self.parties.iter_mut().flatten();
        let is_answer_to = |party: &&mut Party| {
            let answers = message.answers;
            answers.is_some_and(|serial| party.calls.contains(&serial))
        };
        match parties.find(is_answer_to) {
            Some(caller) => {
                if !caller.answerers.contains(&message.sender) {
                    caller.answerers.push(message.sender.clone());
                }
                caller.mail.push_back(message);
            }
            // Everybody can send us signals, and those of strangers are not kept.
            None if message.kind == Kind::Signal => {
                if let Some(Some(first)) = self.parties.first_mut() {
                    if first.answerers.contains(&message.sender) {
                        first.mail.push_back(message);
                    }
                }
            }
            None => {}
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.shared.borrow_mut().parties[self.me] = None;
    }
}

impl AsFd for Bus {
    /// Readable when something has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The number that an answer to the message refers to.
fn serial(message: &Message) -> u32 {
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::message::tests::signal;
    use super::*;

    #[test]
    fn everybody_gets_the_answers_to_their_own_calls_and_nothing_is_left_lying() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut one = Bus::over(Connection::established(ours));
        let mut other = one.share();
        let call = |name| call_of_the_bus(name, &()).unwrap();
        let answer = |call: &Message| {
            let answer = Message::method_return(&call.header()).unwrap();
            answer.sender(":1.7").unwrap().build(&()).unwrap()
        };
        let mut tell = |messages: &[Message]| {
            let bytes = messages.iter().map(|message| message.data().bytes());
            theirs
                .write_all(&bytes.collect::<Vec<_>>().concat())
                .unwrap();
        };
        // A sender that has answered nothing is a stranger.
        tell(&[signal(&(1, "early"))]);
        assert!(one.receive().unwrap().is_none());
        let (of_one, of_other) = (call("One"), call("Other"));
        one.send(of_one.clone()).unwrap();
        other.send(of_other.clone()).unwrap();
        tell(&[
            answer(&of_one),
            answer(&of_other),
            answer(&call("Nobody")),
            signal(&(1, "one")),
        ]);
        assert!(!one.has_mail() && !other.has_mail());
        let first = one.receive().unwrap().unwrap();
        assert_eq!(first.answers, Some(serial(&of_one)));
        assert!(one.has_mail() && other.has_mail());
        let theirs_first = other.receive().unwrap().unwrap();
        assert_eq!(theirs_first.answers, Some(serial(&of_other)));
        assert!(!other.has_mail() && other.receive().unwrap().is_none());
        assert_eq!(one.receive().unwrap().unwrap().kind, Kind::Signal);
        assert!(one.receive().unwrap().is_none());
        // Nothing is kept for users that have left, and what came before the end is there after it.
        drop(other);
        tell(&[answer(&of_other), signal(&(1, "late"))]);
        drop(theirs);
        assert_eq!(one.receive().unwrap().unwrap().kind, Kind::Signal);
        assert!(matches!(one.receive(), Err(BusError::Disconnected)));
    }

    #[test]
    fn a_flood_of_strangers_signals_is_read_piece_by_piece_and_none_is_kept() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut bus = Bus::over(Connection::established(ours));
        bus.send(call_of_the_bus("Hello", &()).unwrap()).unwrap();
        let stranger = signal(&(1, &"x".repeat(3000)));
        while theirs.write(stranger.data().bytes()).is_ok() {}
        let left = || {
            let mut seen = [0; 1];
            let look = nix::sys::socket::MsgFlags::MSG_PEEK;
            nix::sys::socket::recv(bus.stream.as_raw_fd(), &mut seen, look).is_ok()
        };
        assert!(left());
        assert!(bus.shared.borrow().parties[0].is_some());
        let mut reads = 0;
        while left() {
            let mut other = bus.share();
            assert!(other.receive().unwrap().is_none());
            reads += 1;
        }
        assert!(reads > 1, "{reads}");
        assert!(!bus.has_mail());
    }
}
