//! A message that has come over the bus: taken from the stream of bytes, and taken apart by the library.

use zbus::zvariant::serialized::{Context, Data};
use zbus::zvariant::{Endian, Type, Value};

use super::BusError;

/// Nothing that is asked for here has an answer of more than a few hundred bytes.
const LONGEST_MESSAGE: usize = 1 << 20;

/// What kind of message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Return,
    Error,
    Signal,
    Other,
}

/// A message that has come.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) kind: Kind,
    /// The serial number of the call that it answers.
    pub(crate) answers: Option<u32>,
    /// The unique name of who sent it, which the bus puts there.
    pub(crate) sender: String,
    pub(crate) member: String,
    pub(crate) error_name: String,
    /// The types of the arguments.
    signature: String,
    endian: Endian,
    body: Vec<u8>,
}

/// Endianness, kind, flags, version, length of the body, serial number, fields.
type Header<'m> = (u8, u8, u8, u8, u32, u32, Vec<(u8, Value<'m>)>);

/// The fixed part of the header and the length of the array of fields.
const FIXED: usize = 16;

impl Incoming {
    /// Takes a message from the front of what was received, if all of it is there.
    pub(crate) fn take(received: &mut Vec<u8>) -> Result<Option<Self>, BusError> {
        let Some(fixed) = received.get(..FIXED) else {
            return Ok(None);
        };
        let endian = match fixed[0] {
            b'l' => Endian::Little,
            b'B' => Endian::Big,
            _ => return Err(unintelligible()),
        };
        let number = |at: usize| {
            let bytes = fixed[at..at + 4].try_into().unwrap_or_default();
            let number = match endian {
                Endian::Little => u32::from_le_bytes(bytes),
                Endian::Big => u32::from_be_bytes(bytes),
            };
            usize::try_from(number).unwrap_or(usize::MAX)
        };
        let (body_length, fields_length) = (number(4), number(12));
        if body_length.max(fields_length) > LONGEST_MESSAGE {
            return Err(unintelligible());
        }
        let body_at = (FIXED + fields_length).next_multiple_of(8);
        if received.len() < body_at + body_length {
            return Ok(None);
        }
        let mut message: Vec<u8> = received.drain(..body_at + body_length).collect();
        let body = message.split_off(body_at);
        Self::parse(&message, endian, body).map(Some)
    }

    fn parse(header: &[u8], endian: Endian, body: Vec<u8>) -> Result<Self, BusError> {
        let data = Data::new(header, Context::new_dbus(endian, 0));
        let ((_, kind, _, _, _, _, fields), _): (Header<'_>, usize) =
            data.deserialize().map_err(zbus::Error::from)?;
        let mut message = Self {
            kind: match kind {
                2 => Kind::Return,
                3 => Kind::Error,
                4 => Kind::Signal,
                _ => Kind::Other,
            },
            answers: None,
            sender: String::new(),
            member: String::new(),
            error_name: String::new(),
            signature: String::new(),
            endian,
            body,
        };
        for field in fields {
            match field {
                (3, Value::Str(text)) => message.member = text.into(),
                (4, Value::Str(text)) => message.error_name = text.into(),
                (5, Value::U32(number)) => message.answers = Some(number),
                (7, Value::Str(text)) => message.sender = text.into(),
                (8, Value::Signature(types)) => message.signature = types.to_string_no_parens(),
                _ => {}
            }
        }
        Ok(message)
    }

    /// The arguments.
    pub(crate) fn body<T>(&self) -> Result<T, BusError>
    where
        T: for<'d> serde::Deserialize<'d> + Type,
    {
        if self.signature != T::SIGNATURE.to_string_no_parens() {
            return Err(unintelligible());
        }
        let data = Data::new(&self.body[..], Context::new_dbus(self.endian, 0));
        let (body, _) = data.deserialize().map_err(zbus::Error::from)?;
        Ok(body)
    }
}

fn unintelligible() -> BusError {
    BusError::Message(zbus::Error::InvalidReply)
}

#[cfg(test)]
pub(super) mod tests {
    use zbus::Message;

    use super::*;

    pub(in super::super) fn signal(body: &(u32, &str)) -> Message {
        Message::signal("/a", "b.c", "D")
            .and_then(|signal| signal.sender(":1.7"))
            .and_then(|signal| signal.build(body))
            .unwrap()
    }

    #[test]
    fn messages_are_taken_whole_and_one_by_one() {
        let bytes: Vec<u8> = [(1, "one"), (2, "another")]
            .iter()
            .flat_map(|body| signal(body).data().bytes().to_vec())
            .collect();
        // However they are cut into pieces on the way.
        for piece in [1, 7, 16, bytes.len()] {
            let mut received = Vec::new();
            let mut taken = Vec::new();
            for part in bytes.chunks(piece) {
                received.extend_from_slice(part);
                while let Some(message) = Incoming::take(&mut received).unwrap() {
                    assert_eq!((message.kind, &*message.sender), (Kind::Signal, ":1.7"));
                    assert_eq!((&*message.member, message.answers), ("D", None));
                    taken.push(message.body::<(u32, String)>().unwrap());
                }
            }
            assert_eq!(taken, [(1, "one".to_owned()), (2, "another".to_owned())]);
            assert!(received.is_empty());
        }
    }

    #[test]
    fn what_is_no_message_is_an_error_and_no_panic() {
        let good = signal(&(1, "one")).data().bytes().to_vec();
        assert!(Incoming::take(&mut vec![b'x'; 16]).is_err());
        let mut huge = good.clone();
        huge[4..8].fill(0xff);
        assert!(Incoming::take(&mut huge).is_err());
        for at in 0..good.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = byte;
                if let Ok(Some(message)) = Incoming::take(&mut bad) {
                    drop(message.body::<(u32, String)>());
                }
            }
        }
        assert!(
            Incoming::take(&mut good.clone())
                .unwrap()
                .unwrap()
                .body::<String>()
                .is_err()
        );
    }
}
