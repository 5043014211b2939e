//! What the main process of a batch and its slots say to each other, over a stream: a length, a
//! kind, and the rest.
//!
//! ```text
//! main ──▶ slot   Job      a line of the input, which was checked
//! main ──▶ slot   Cancel   end the job: the number of a signal
//! main ──▶ slot   Remove   boxes that a slot left which was killed: numbers
//! slot ──▶ main   Boxes    the boxes that it has now: numbers
//! slot ──▶ main   Result   the line of the result
//! ```

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use crate::sys::socket::receive_into_room;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Job = 1,
    Cancel = 2,
    Remove = 3,
    Boxes = 4,
    Result = 5,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [
            Self::Job,
            Self::Cancel,
            Self::Remove,
            Self::Boxes,
            Self::Result,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// The bytes before the content.
const HEAD: usize = 5;
/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// One side of the stream.
#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    read: Vec<u8>,
    has_ended: bool,
}

impl Channel {
    /// This side.
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            read: Vec::new(),
            has_ended: false,
        }
    }

    /// Readable when there is something to receive.
    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// The other side is gone, and all that it had sent was taken.
    pub(super) fn is_over(&self) -> bool {
        self.has_ended
    }

    /// Sends a frame; waits until there is room for it.
    pub(super) fn send(&mut self, kind: Kind, content: &[u8]) -> io::Result<()> {
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        let mut frame = Vec::with_capacity(HEAD + content.len());
        frame.extend(length.to_ne_bytes());
        frame.push(kind as u8);
        frame.extend(content);
        self.stream.write_all(&frame)
    }

    /// Reads what there is, without waiting.
    pub(super) fn receive(&mut self) -> io::Result<()> {
        loop {
            let received = receive_into_room(self.stream.as_fd(), &mut self.read, CHUNK);
            match received.map_err(|error| (error.raw_os_error(), error)) {
                Ok(0) | Err((Some(libc::ECONNRESET), _)) => {
                    self.has_ended = true;
                    return Ok(());
                }
                Ok(_) | Err((Some(libc::EINTR), _)) => {}
                Err((Some(libc::EAGAIN), _)) => return Ok(()),
                Err((_, error)) => return Err(error),
            }
        }
    }

    /// Takes a frame that has been read as a whole.
    pub(super) fn take(&mut self) -> Option<(Kind, Vec<u8>)> {
        let head: [u8; HEAD] = self.read.get(..HEAD)?.try_into().ok()?;
        let [a, b, c, d, kind] = head;
        let length = usize::try_from(u32::from_ne_bytes([a, b, c, d])).ok()?;
        if self.read.len() < HEAD + length {
            return None;
        }
        let rest = self.read.split_off(HEAD + length);
        let mut frame = std::mem::replace(&mut self.read, rest);
        let content = frame.split_off(HEAD);
        // Both sides are this program.
        Some((Kind::of(kind)?, content))
    }
}

/// Numbers as the content of a frame.
pub(super) fn numbers(numbers: impl IntoIterator<Item = u32>) -> Vec<u8> {
    numbers.into_iter().flat_map(u32::to_ne_bytes).collect()
}

/// The numbers in the content of a frame.
pub(super) fn read_numbers(content: &[u8]) -> Vec<u32> {
    let words = content.chunks_exact(4);
    words
        .filter_map(|word| word.try_into().ok())
        .map(u32::from_ne_bytes)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_whole_however_they_are_cut() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let long = vec![7; 1 << 20];
        let sender = std::thread::spawn(move || {
            let mut channel = Channel::new(theirs);
            channel.send(Kind::Boxes, &numbers([1, 70_000])).unwrap();
            channel.send(Kind::Result, &long).unwrap();
        });
        let mut channel = Channel::new(ours);
        let mut frames = Vec::new();
        while !channel.is_over() {
            channel.receive().unwrap();
            while let Some(frame) = channel.take() {
                frames.push(frame);
            }
        }
        sender.join().unwrap();
        assert_eq!(frames.len(), 2);
        assert_eq!(read_numbers(&frames[0].1), [1, 70_000]);
        assert_eq!((frames[1].0, frames[1].1.len()), (Kind::Result, 1 << 20));
    }
}
