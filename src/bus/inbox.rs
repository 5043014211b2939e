//! What has come over a connection and was not taken yet: a stream of bytes, cut into messages.
//!
//! Everybody on the machine may send us signals of up to 128 MiB. These only cost us the time to
//! skip them.

use zbus::zvariant::Endian;

use super::BusError;
use super::message::{Incoming, unintelligible};

/// The length of the longest message that is kept. Every answer that is needed here has at most a
/// few hundred bytes.
const LONGEST_MESSAGE: usize = 64 << 10;

/// The fixed part of a message's header, and the length of the list of fields after it.
const FIXED: usize = 16;

/// Bytes that have come.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// How many of the next bytes belong to a long message.
    to_skip: usize,
}

/// Where a message ends, according to its fixed part.
struct Frame {
    endian: Endian,
    /// Whether it answers a call.
    is_answer: bool,
    body_at: usize,
    length: usize,
}

impl Inbox {
    /// Adds bytes that have come, except those of a message that is skipped.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let skipped = self.to_skip.min(bytes.len());
        self.to_skip -= skipped;
        self.bytes.extend(bytes.iter().skip(skipped));
    }

    /// Takes a line of the handshake, without its end.
    pub(super) fn take_line(&mut self) -> Option<String> {
        let end = self.bytes.windows(2).position(|bytes| bytes == b"\r\n")?;
        let line: Vec<u8> = self.bytes.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(line.get(..end)?).into_owned())
    }

    /// Takes the next message, if all of it is there. Skips a long one, and one that makes no sense
    /// and answers no call: anybody may have sent it.
    pub(super) fn take(&mut self) -> Result<Option<Incoming>, BusError> {
        while let Some(frame) = self.frame()? {
            if frame.length > LONGEST_MESSAGE {
                log::debug!("skips a message of {} bytes on the bus", frame.length);
                let here = frame.length.min(self.bytes.len());
                self.bytes.drain(..here);
                self.to_skip = frame.length - here;
                continue;
            }
            if self.bytes.len() < frame.length {
                return Ok(None);
            }
            let mut message: Vec<u8> = self.bytes.drain(..frame.length).collect();
            let body = message.split_off(frame.body_at);
            match Incoming::parse(&message, frame.endian, body) {
                Err(_) if !frame.is_answer => {}
                taken => return taken.map(Some),
            }
        }
        Ok(None)
    }

    /// Where the first message ends. An error means that no message can begin there; then nothing
    /// that comes after makes sense either.
    fn frame(&self) -> Result<Option<Frame>, BusError> {
        let Some(fixed) = self.bytes.first_chunk::<FIXED>() else {
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
        let body_at = FIXED
            .checked_add(fields_length)
            .and_then(|end| end.checked_next_multiple_of(8))
            .ok_or_else(unintelligible)?;
        Ok(Some(Frame {
            endian,
            is_answer: matches!(fixed[1], 2 | 3),
            body_at,
            length: body_at
                .checked_add(body_length)
                .ok_or_else(unintelligible)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::message::Kind;
    use crate::bus::message::tests::signal;

    fn inbox(bytes: &[u8]) -> Inbox {
        let mut inbox = Inbox::default();
        inbox.add(bytes);
        inbox
    }

    #[test]
    fn messages_are_taken_whole_and_one_by_one() {
        let bytes: Vec<u8> = [(1, "one"), (2, "another")]
            .iter()
            .flat_map(|body| signal(body).data().bytes().to_vec())
            .collect();
        // The pieces in which the bytes arrive make no difference.
        for piece in [1, 7, 16, bytes.len()] {
            let mut inbox = Inbox::default();
            let mut taken = Vec::new();
            for part in bytes.chunks(piece) {
                inbox.add(part);
                while let Some(message) = inbox.take().unwrap() {
                    assert_eq!((message.kind, &*message.sender), (Kind::Signal, ":1.7"));
                    assert_eq!((&*message.member, message.answers), ("D", None));
                    taken.push(message.body::<(u32, String)>().unwrap());
                }
            }
            assert_eq!(taken, [(1, "one".to_owned()), (2, "another".to_owned())]);
            assert!(inbox.bytes.is_empty());
        }
    }

    #[test]
    fn a_long_message_is_skipped_and_takes_no_memory() {
        let long = "x".repeat(LONGEST_MESSAGE);
        let mut bytes = signal(&(1, &long)).data().bytes().to_vec();
        bytes.extend_from_slice(signal(&(2, "short")).data().bytes());
        for piece in [1, 4096, 70_000, bytes.len()] {
            let mut inbox = Inbox::default();
            let mut taken = Vec::new();
            for part in bytes.chunks(piece) {
                inbox.add(part);
                taken.extend(inbox.take().unwrap());
                assert!(inbox.bytes.len() < FIXED + 200, "{}", inbox.bytes.len());
            }
            taken.extend(inbox.take().unwrap());
            let [short] = &taken[..] else {
                panic!("{taken:?}")
            };
            assert_eq!(short.body::<(u32, String)>().unwrap().1, "short");
        }
        // This is the longest that a header can announce.
        let mut endless = signal(&(1, "one")).data().bytes().to_vec();
        endless[4..8].fill(0xff);
        let mut inbox = inbox(&endless);
        assert!(inbox.take().unwrap().is_none());
        assert!(inbox.bytes.is_empty() && inbox.to_skip > 1 << 31);
    }

    #[test]
    fn what_cannot_be_taken_apart_is_skipped_unless_it_is_an_answer() {
        let mut bad = signal(&(1, "one")).data().bytes().to_vec();
        // These bytes are the type of the first field.
        bad[FIXED + 1..FIXED + 4].fill(0xff);
        let mut bytes = bad.clone();
        bytes.extend_from_slice(signal(&(2, "good")).data().bytes());
        let good = inbox(&bytes).take().unwrap().unwrap();
        assert_eq!(good.body::<(u32, String)>().unwrap().1, "good");
        bad[1] = 2;
        assert!(inbox(&bad).take().is_err());
    }

    #[test]
    fn what_is_no_message_is_an_error_and_no_panic() {
        assert!(inbox(&[b'x'; 16]).take().is_err());
        let good = signal(&(1, "one")).data().bytes().to_vec();
        for at in 0..good.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = byte;
                if let Ok(Some(message)) = inbox(&bad).take() {
                    drop(message.body::<(u32, String)>());
                }
            }
        }
        let other = inbox(&good).take().unwrap().unwrap();
        assert!(other.body::<String>().is_err());
    }
}
