//! A message that has come over the bus, as the library takes it apart.

use zbus::zvariant::serialized::{Context, Data};
use zbus::zvariant::{Endian, Type, Value};

use super::BusError;

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
    /// The unique name of the sender, which the bus puts there.
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

impl Incoming {
    /// Takes a message apart, except for its arguments. Its header ends where its body begins.
    pub(super) fn parse(header: &[u8], endian: Endian, body: Vec<u8>) -> Result<Self, BusError> {
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

/// The error for a message that makes no sense.
pub(super) fn unintelligible() -> BusError {
    BusError::Message(zbus::Error::InvalidReply)
}

#[cfg(test)]
pub(super) mod tests {
    use zbus::Message;
    use zbus::message::Type;

    use super::super::inbox::Inbox;
    use super::*;

    #[test]
    fn a_message_is_read_as_the_library_reads_it() {
        let call = Message::method_call("/a", "C").unwrap().build(&()).unwrap();
        let answer = Message::method_return(&call.header()).unwrap();
        let answer = answer.sender(":1.9").unwrap().build(&(7_u32, "x"));
        let refusal = Message::error(&call.header(), "a.b.Failed").unwrap();
        let refusal = refusal.sender(":1.9").unwrap().build(&"no");
        let kinds = [
            (signal(&(1, "one")), Type::Signal, Kind::Signal),
            (answer.unwrap(), Type::MethodReturn, Kind::Return),
            (refusal.unwrap(), Type::Error, Kind::Error),
        ];
        for (message, theirs, ours) in kinds {
            let mut inbox = Inbox::default();
            inbox.add(message.data().bytes());
            let read = inbox.take().unwrap().unwrap();
            let header = message.header();
            assert_eq!((header.message_type(), read.kind), (theirs, ours));
            assert_eq!(header.reply_serial().map(Into::into), read.answers);
            let words = [
                header.sender().map(ToString::to_string),
                header.member().map(ToString::to_string),
                header.error_name().map(ToString::to_string),
                Some(header.signature().to_string_no_parens()),
            ];
            let read_words = [read.sender, read.member, read.error_name, read.signature];
            assert_eq!(words.map(Option::unwrap_or_default), read_words);
            assert_eq!(message.body().data().bytes(), read.body);
        }
    }

    pub(in super::super) fn signal(body: &(u32, &str)) -> Message {
        Message::signal("/a", "b.c", "D")
            .and_then(|signal| signal.sender(":1.7"))
            .and_then(|signal| signal.build(body))
            .unwrap()
    }
}
