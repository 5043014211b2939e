//! The other side of a conversation with the bus: a thread of a test.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use zbus::zvariant::serialized::{Context, Data};
use zbus::zvariant::{LE, OwnedValue, Signature, Type, Value, to_bytes};

use crate::sys::socket::receive;

/// The bus's own name, as a sender.
pub(super) const THE_BUS: &str = "org.freedesktop.DBus";
/// The owner of polkit's name.
pub(super) const POLKIT: &str = ":1.5";

type Header<'m> = (u8, u8, u8, u8, u32, u32, Vec<(u8, Value<'m>)>);

/// The body of a CheckAuthorization.
pub(super) type Check = (
    (String, HashMap<String, OwnedValue>),
    String,
    HashMap<String, String>,
    u32,
    String,
);

/// A call that has come.
pub(super) struct Called {
    pub(super) serial: u32,
    pub(super) member: String,
    /// Destination, path, interface and signature.
    pub(super) address: [String; 4],
    pub(super) body: Vec<u8>,
    pub(super) descriptor: Option<OwnedFd>,
}

impl Called {
    pub(super) fn check(&self) -> Check {
        let descriptors = self.descriptor.iter().map(|fd| fd.try_clone().unwrap());
        let descriptors: Vec<OwnedFd> = descriptors.collect();
        let data = Data::new_fds(&self.body[..], Context::new_dbus(LE, 0), descriptors);
        data.deserialize().unwrap().0
    }
}

/// The bus's side of a connection.
pub(super) struct Side {
    pub(super) stream: UnixStream,
    /// Whether the other side has asked for descriptors.
    pub(super) negotiated: bool,
    received: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Side {
    pub(super) fn accept(listener: &UnixListener) -> Self {
        let (mut stream, _) = listener.accept().unwrap();
        let mut words = Vec::new();
        while !words.ends_with(b"BEGIN\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            words.push(byte[0]);
        }
        let negotiated = String::from_utf8_lossy(&words).contains("NEGOTIATE_UNIX_FD");
        let agrees = if negotiated { "AGREE_UNIX_FD\r\n" } else { "" };
        write!(stream, "OK 0123\r\n{agrees}").unwrap();
        let mut side = Self {
            stream,
            negotiated,
            received: Vec::new(),
            descriptors: Vec::new(),
        };
        assert_eq!(side.called().unwrap().member, "Hello");
        side
    }

    /// The next call; `None` at the end.
    pub(super) fn called(&mut self) -> Option<Called> {
        loop {
            if self.received.len() >= 16 {
                let data = Data::new(&self.received[..], Context::new_dbus(LE, 0));
                if let Ok(((_, 1, _, _, length, serial, fields), end)) =
                    data.deserialize::<Header<'_>>()
                {
                    let fields: HashMap<u8, OwnedValue> = fields
                        .into_iter()
                        .map(|(code, value)| (code, value.try_into().unwrap()))
                        .collect();
                    let text = |code| match fields.get(&code).map(|value| &**value) {
                        Some(Value::Signature(types)) => types.to_string_no_parens(),
                        Some(Value::ObjectPath(path)) => path.to_string(),
                        Some(Value::Str(text)) => text.to_string(),
                        _ => String::new(),
                    };
                    let count = fields
                        .get(&9)
                        .map_or(0, |count| u32::try_from(count).unwrap());
                    let address = [6, 1, 2, 8].map(text);
                    let member = text(3);
                    let body_at = end.next_multiple_of(8);
                    let end = body_at + length as usize;
                    if self.received.len() >= end {
                        let mut whole: Vec<u8> = self.received.drain(..end).collect();
                        let descriptor = (count == 1).then(|| self.descriptors.remove(0));
                        return Some(Called {
                            serial,
                            member,
                            address,
                            body: whole.split_off(body_at),
                            descriptor,
                        });
                    }
                }
            }
            let mut buffer = [0; 4096];
            let (length, descriptor) = receive(self.stream.as_fd(), &mut buffer).ok()?;
            if length == 0 {
                return None;
            }
            self.received.extend_from_slice(&buffer[..length]);
            self.descriptors.extend(descriptor);
        }
    }

    pub(super) fn call_of(&mut self, member: &str) -> Called {
        let called = self.called().unwrap();
        assert_eq!(called.member, member);
        called
    }

    /// Sends an answer, or an error of this name, and returns its bytes.
    pub(super) fn send<B>(
        &mut self,
        serial: u32,
        sender: &str,
        error: Option<&str>,
        body: &B,
    ) -> Vec<u8>
    where
        B: serde::Serialize + Type,
    {
        let context = Context::new_dbus(LE, 0);
        let body = to_bytes(context, body).unwrap();
        let types: Signature = B::SIGNATURE.clone();
        let mut fields: Vec<(u8, Value<'_>)> =
            vec![(5, serial.into()), (7, sender.into()), (8, types.into())];
        fields.extend(error.map(|name| (4, name.into())));
        let kind: u8 = if error.is_some() { 3 } else { 2 };
        let length = u32::try_from(body.len()).unwrap();
        let header: Header<'_> = (b'l', kind, 1, 1, length, 77, fields);
        let mut message = to_bytes(context, &header).unwrap().to_vec();
        message.resize(message.len().next_multiple_of(8), 0);
        message.extend_from_slice(&body);
        self.stream.write_all(&message).unwrap();
        message
    }

    pub(super) fn say_who_polkit_is(&mut self) {
        let asked = self.call_of("GetNameOwner");
        self.send(asked.serial, THE_BUS, None, &POLKIT);
    }

    pub(super) fn answer(
        &mut self,
        serial: u32,
        sender: &str,
        answer: (bool, bool),
        details: &[(&str, &str)],
    ) {
        let details: HashMap<&str, &str> = details.iter().copied().collect();
        let sent = self.send(serial, sender, None, &(answer.0, answer.1, details));
        // This is polkit's form: one argument, a structure.
        let types = b"\x09(bba{ss})\0";
        assert!(sent.windows(types.len()).any(|bytes| bytes == types));
    }
}
