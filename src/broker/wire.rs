//! The messages of [`super::protocol`] on a socket.

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::MsgFlags;

use super::opening::{ANNOUNCEMENT, Announcement, Opening};
use super::protocol::{LONGEST_PACKET, MOST_DESCRIPTORS_AT_ONCE, ProtocolError};
use super::reply::{LONGEST_REPLY, Reply};
use crate::failure::Explained;
use crate::sys::packet::{next_length, receive_packet, send_packet};
use crate::sys::poll::{self, Until, readable};

/// Why a message was not sent or received.
#[derive(Debug)]
pub(crate) enum WireError {
    /// The other side is gone.
    Gone,
    /// The other side let us wait for too long.
    Late(Duration),
    /// The socket does not work.
    Socket(io::Error),
    /// What came is not a message.
    Protocol(ProtocolError),
    /// There is no room for what is announced.
    Refused(String),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the other side has closed the connection"),
            Self::Late(patience) => write!(
                f,
                "the request did not arrive within {} s",
                patience.as_secs_f32()
            ),
            Self::Socket(_) => f.write_str("the connection does not work"),
            Self::Protocol(error) => error.fmt(f),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for WireError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Socket(error) => Some(error),
            Self::Gone | Self::Late(_) | Self::Protocol(_) | Self::Refused(_) => None,
        }
    }
}

impl Explained for WireError {}

impl From<ProtocolError> for WireError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPIPE | libc::ECONNRESET) => Self::Gone,
            Some(libc::EMSGSIZE) => Self::Protocol(ProtocolError::TooLong),
            _ => Self::Socket(error),
        }
    }
}

/// Sends a request with its descriptors.
pub(crate) fn send_request(
    socket: BorrowedFd<'_>,
    request: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), WireError> {
    let announcement = Announcement {
        length: request.len(),
        descriptors: descriptors.len(),
    };
    let opening = Opening::Request(announcement);
    send_packet(socket, &opening.to_bytes()?, &[], MsgFlags::empty())?;
    let mut descriptors = descriptors.chunks(MOST_DESCRIPTORS_AT_ONCE);
    // The last descriptors need a byte that they can go beside.
    let packets = descriptors.len().max(1);
    let longest = LONGEST_PACKET.min((request.len() / packets).max(1));
    for part in request.chunks(longest) {
        let beside = descriptors.next().unwrap_or_default();
        send_packet(socket, part, beside, MsgFlags::empty())?;
    }
    match descriptors.next() {
        None => Ok(()),
        Some(_) => Err(ProtocolError::TooLong.into()),
    }
}

/// A request with its descriptors.
pub(crate) type Request = (Vec<u8>, Vec<OwnedFd>);

/// Receives a request with its descriptors, all of it within `patience`; `None`: a series begins.
/// `let_in` decides whether one of this length, in bytes, may come.
pub(crate) fn receive_request<E: fmt::Display>(
    socket: BorrowedFd<'_>,
    patience: Duration,
    let_in: impl FnOnce(usize) -> Result<(), E>,
) -> Result<Option<Request>, WireError> {
    let end = Until::within(patience);
    let receive = |buffer: &mut [u8], most: usize| -> Result<_, WireError> {
        if poll::first([((), readable(socket))], end)?.is_none() {
            return Err(WireError::Late(patience));
        }
        let packet = receive_packet(socket, buffer, most, MsgFlags::MSG_DONTWAIT)?;
        match packet.length {
            0 => Err(WireError::Gone),
            _ => Ok(packet),
        }
    };
    let mut first = [0; ANNOUNCEMENT];
    let packet = receive(&mut first, 0)?;
    let Opening::Request(announced) = Opening::from_bytes(&first[..packet.length])? else {
        return Ok(None);
    };
    let_in(announced.length).map_err(|refusal| WireError::Refused(refusal.to_string()))?;
    let mut buffer = vec![0; announced.length.min(LONGEST_PACKET)];
    let mut request = Vec::new();
    let mut descriptors = Vec::new();
    while request.len() < announced.length {
        let missing = announced.descriptors - descriptors.len();
        let most = missing.min(MOST_DESCRIPTORS_AT_ONCE);
        let longest = buffer.len().min(announced.length - request.len());
        let packet = receive(&mut buffer[..longest], most)?;
        request.extend_from_slice(&buffer[..packet.length]);
        descriptors.extend(packet.descriptors);
    }
    if descriptors.len() != announced.descriptors {
        return Err(ProtocolError::Descriptors.into());
    }
    Ok(Some((request, descriptors)))
}

/// Sends a reply. A reply that may be lost does not wait when nobody reads.
pub(crate) fn send_reply(socket: BorrowedFd<'_>, reply: &Reply) -> Result<(), WireError> {
    let flags = match reply {
        Reply::Log(_) => MsgFlags::MSG_DONTWAIT,
        Reply::Done(..) | Reply::Failed(_) | Reply::Part(_) => MsgFlags::empty(),
    };
    for packet in reply.to_packets()? {
        send_packet(socket, &packet, &[], flags)?;
    }
    Ok(())
}

/// Waits for a reply; `None` when the other side is gone.
pub(crate) fn receive_reply(socket: BorrowedFd<'_>) -> Result<Option<Reply>, WireError> {
    let mut buffer = Vec::new();
    let mut whole = Vec::new();
    loop {
        // Nearly all are short, and each byte of room is written to.
        let length = next_length(socket, MsgFlags::empty())?;
        buffer.resize(length.min(LONGEST_PACKET), 0);
        let packet = receive_packet(socket, &mut buffer, 0, MsgFlags::empty())?;
        if packet.length == 0 {
            return Ok(None);
        }
        match Reply::from_bytes(&buffer[..packet.length])? {
            Reply::Part(part) if part.is_empty() => return Ok(Some(Reply::from_bytes(&whole)?)),
            Reply::Part(part) if whole.len() + part.len() > LONGEST_REPLY => {
                return Err(ProtocolError::TooLong.into());
            }
            Reply::Part(part) => whole.extend(part),
            reply => return Ok(Some(reply)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::thread::spawn;

    use super::*;
    use crate::sys::socket::pair;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Lets everything in.
    fn all(_: usize) -> Result<(), &'static str> {
        Ok(())
    }

    fn sent(length: usize, descriptors: usize) -> (usize, usize) {
        let (ours, theirs) = pair().unwrap();
        let sender = spawn(move || {
            let file = File::open("/dev/null").unwrap();
            let beside = vec![file.as_fd(); descriptors];
            send_request(ours.as_fd(), &vec![7; length], &beside).unwrap();
        });
        let (request, descriptors) = receive_request(theirs.as_fd(), PATIENCE, all)
            .unwrap()
            .unwrap();
        sender.join().unwrap();
        assert!(request.iter().all(|byte| *byte == 7));
        (request.len(), descriptors.len())
    }

    #[test]
    fn requests_of_all_sizes_arrive_whole() {
        for (length, descriptors) in [(1, 3), (300_000, 3), (20, 600), (1 << 20, 1024)] {
            assert_eq!(sent(length, descriptors), (length, descriptors));
        }
    }

    #[test]
    fn what_was_not_announced_is_refused() {
        let announced = |length, descriptors| {
            let announcement = Announcement {
                length,
                descriptors,
            };
            Opening::Request(announcement).to_bytes().unwrap()
        };
        let null = File::open("/dev/null").unwrap();
        // There are too many bytes, too many descriptors, too few, and some beside the
        // announcement.
        for (first, beside_first, packet, beside) in [
            (announced(3, 3), 0, &b"four"[..], 3),
            (announced(4, 3), 0, b"four", 4),
            (announced(4, 4), 0, b"four", 3),
            (announced(4, 3), 1, b"four", 3),
        ] {
            let (ours, theirs) = pair().unwrap();
            let send = |bytes: &[u8], number| {
                let beside = vec![null.as_fd(); number];
                send_packet(ours.as_fd(), bytes, &beside, MsgFlags::empty()).unwrap();
            };
            send(&first, beside_first);
            send(packet, beside);
            let refused = receive_request(theirs.as_fd(), PATIENCE, all);
            assert!(
                matches!(refused, Err(WireError::Protocol(_))),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_request_that_does_not_come_is_not_waited_for_for_ever() {
        let (ours, theirs) = pair().unwrap();
        let patience = Duration::from_millis(20);
        let late = receive_request(theirs.as_fd(), patience, all);
        assert!(matches!(late, Err(WireError::Late(_))), "{late:?}");
        drop(ours);
        let gone = receive_request(theirs.as_fd(), patience, all);
        assert!(matches!(gone, Err(WireError::Gone)), "{gone:?}");
    }

    #[test]
    fn a_request_that_is_not_let_in_is_not_waited_for() {
        let (ours, theirs) = pair().unwrap();
        let announcement = Announcement {
            length: 1 << 20,
            descriptors: 3,
        };
        let bytes = Opening::Request(announcement).to_bytes().unwrap();
        send_packet(ours.as_fd(), &bytes, &[], MsgFlags::empty()).unwrap();
        let refused = receive_request(theirs.as_fd(), PATIENCE, |length| {
            assert_eq!(length, 1 << 20);
            Err("too long for now")
        });
        assert_eq!(refused.unwrap_err().to_string(), "too long for now");
    }

    #[test]
    fn a_reply_arrives_whole_however_long_it_is() {
        for length in [0, LONGEST_PACKET - 10, LONGEST_PACKET, 1_000_000] {
            let (ours, theirs) = pair().unwrap();
            let reply = Reply::Failed("x".repeat(length));
            let expected = reply.clone();
            let sender = spawn(move || send_reply(ours.as_fd(), &reply).unwrap());
            assert_eq!(receive_reply(theirs.as_fd()).unwrap(), Some(expected));
            sender.join().unwrap();
        }
    }

    #[test]
    fn lines_that_nobody_reads_are_lost_and_nobody_waits() {
        let (ours, theirs) = pair().unwrap();
        let line = Reply::Log("x".repeat(50_000));
        while send_reply(ours.as_fd(), &line).is_ok() {}
        assert_eq!(receive_reply(theirs.as_fd()).unwrap(), Some(line));
    }
}
