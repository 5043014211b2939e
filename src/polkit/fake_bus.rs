//! The other side of a conversation with the bus: the library's own connection, in threads of a
//! test.

use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use futures_lite::{StreamExt, future};
use nix::sys::socket::{MsgFlags, recv};
use zbus::zvariant::{DynamicType, OwnedValue};
use zbus::{Connection, Guid, Message, MessageStream, block_on, connection};

/// The bus's own name, as a sender.
pub(super) const THE_BUS: &str = "org.freedesktop.DBus";
/// The owner of polkit's name.
pub(super) const POLKIT: &str = ":1.5";

/// The body of a CheckAuthorization.
pub(super) type Check = (
    (String, HashMap<String, OwnedValue>),
    String,
    HashMap<String, String>,
    u32,
    String,
);

/// What a CheckAuthorization asks.
pub(super) fn check(call: &Message) -> Check {
    call.body().deserialize().unwrap()
}

/// The bus's side of a connection.
pub(super) struct Side {
    /// The socket, for whoever speaks no D-Bus.
    pub(super) stream: UnixStream,
    /// Whether the other side has asked for descriptors.
    pub(super) negotiated: bool,
    connection: Connection,
    calls: Receiver<Message>,
}

impl Side {
    pub(super) fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        let negotiated = asks_for_descriptors(&stream);
        let connected = connection::Builder::unix_stream(stream.try_clone().unwrap())
            .server(Guid::generate())
            .unwrap()
            .p2p()
            // A message that comes before somebody listens would be lost.
            .internal_executor(false)
            .build();
        let connection = block_on(connected).unwrap();
        let mut messages = MessageStream::from(&connection);
        let executor = connection.executor().clone();
        let (heard, calls) = mpsc::channel();
        thread::spawn(move || {
            let work = async {
                loop {
                    executor.tick().await;
                }
            };
            let listen = async {
                while let Some(Ok(message)) = messages.next().await {
                    if heard.send(message).is_err() {
                        break;
                    }
                }
            };
            block_on(future::or(listen, work));
        });
        let mut side = Self {
            stream,
            negotiated,
            connection,
            calls,
        };
        side.call_of("Hello");
        side
    }

    /// The next call; `None` at the end.
    pub(super) fn called(&mut self) -> Option<Message> {
        self.calls.recv().ok()
    }

    /// The next call that comes within this time.
    pub(super) fn called_within(&mut self, time: Duration) -> Option<Message> {
        self.calls.recv_timeout(time).ok()
    }

    pub(super) fn call_of(&mut self, member: &str) -> Message {
        let call = self.called().unwrap();
        assert_eq!(call.header().member().unwrap(), member);
        call
    }

    /// Sends an answer, or an error of this name.
    pub(super) fn send<B>(&mut self, call: &Message, sender: &str, error: Option<&str>, body: &B)
    where
        B: serde::Serialize + DynamicType,
    {
        let header = call.header();
        let answer = match error {
            None => Message::method_return(&header),
            Some(name) => Message::error(&header, name),
        };
        let answer = answer.unwrap().sender(sender).unwrap().build(body).unwrap();
        block_on(self.connection.send(&answer)).unwrap();
    }

    pub(super) fn say_who_polkit_is(&mut self) {
        let call = self.call_of("GetNameOwner");
        self.send(&call, THE_BUS, None, &POLKIT);
    }

    /// Answers as polkit does: with one argument, a structure.
    pub(super) fn answer(
        &mut self,
        call: &Message,
        sender: &str,
        answer: (bool, bool),
        details: &[(&str, &str)],
    ) {
        let details: HashMap<&str, &str> = details.iter().copied().collect();
        self.send(call, sender, None, &((answer.0, answer.1, details),));
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // The library closes it when it comes round to it.
        drop(self.stream.shutdown(std::net::Shutdown::Both));
    }
}

/// Waits for all that a client says before it is let in.
fn asks_for_descriptors(stream: &UnixStream) -> bool {
    let mut buffer = [0; 256];
    loop {
        let length = recv(stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_PEEK).unwrap();
        let words = String::from_utf8_lossy(&buffer[..length]);
        if words.ends_with("BEGIN\r\n") {
            return words.contains("NEGOTIATE_UNIX_FD");
        }
        thread::yield_now();
    }
}
