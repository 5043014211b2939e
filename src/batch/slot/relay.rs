//! Pipes between two programs that this process passes on, to write down what they say or to bound
//! it.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, write};

use super::streams::{CHUNK, Found, MOST_INLINE, set_not_blocking};
use crate::caller::create_regular;
use crate::sys::file::{is_passing, read_into_room};

/// What two programs say to each other, written down.
#[derive(Debug)]
pub(super) struct Transcript {
    file: File,
    begun: Instant,
    left: u64,
}

impl Transcript {
    /// One in a new file, of at most so many bytes.
    pub(super) fn create(path: &str, most: Option<u64>) -> io::Result<Self> {
        Ok(Self {
            file: create_regular(Path::new(path))?,
            begun: Instant::now(),
            left: most.unwrap_or(MOST_INLINE),
        })
    }

    /// Takes note of what was said. A file that cannot be written to ends nothing.
    fn note(&mut self, direction: &str, said: &[u8]) {
        if self.left == 0 {
            return;
        }
        let time = self.begun.elapsed().as_secs_f64();
        let line = format!("{time:.6} {direction}: {}\n", said.escape_ascii());
        let length = line.len() as u64;
        if length > self.left {
            self.left = 0;
            drop(self.file.write_all(b"(the rest was not written down)\n"));
            return;
        }
        self.left -= length;
        drop(self.file.write_all(line.as_bytes()));
    }
}

/// One direction between two programs that this process passes on, to write it down or to bound it.
#[derive(Debug)]
pub(super) struct Relay {
    from: Option<OwnedFd>,
    to: Option<OwnedFd>,
    waiting: Vec<u8>,
    /// How much more may be said.
    left: Option<u64>,
    has_exceeded: bool,
    noted: Option<Noted>,
}

/// Where what is said is written down.
#[derive(Debug)]
pub(super) struct Noted {
    /// Who speaks to whom.
    pub(super) direction: String,
    /// The file.
    pub(super) transcript: Rc<RefCell<Transcript>>,
}

/// The two ends of a pipe that programs get, and what is between them.
pub(super) struct Joined {
    /// For the one that reads.
    pub(super) read: OwnedFd,
    /// For the one that writes.
    pub(super) write: OwnedFd,
    /// In between, if it is to be written down or bounded.
    pub(super) relay: Option<Relay>,
}

/// Joins two programs by a pipe, which takes at most so many bytes.
pub(super) fn join(noted: Option<Noted>, most: Option<u64>) -> io::Result<Joined> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    if noted.is_none() && most.is_none() {
        return Ok(Joined {
            read,
            write,
            relay: None,
        });
    }
    let (second_read, to) = pipe2(OFlag::O_CLOEXEC)?;
    set_not_blocking(&read)?;
    set_not_blocking(&to)?;
    Ok(Joined {
        read: second_read,
        write,
        relay: Some(Relay {
            from: Some(read),
            to: Some(to),
            waiting: Vec::new(),
            left: most,
            has_exceeded: false,
            noted,
        }),
    })
}

impl Relay {
    /// Readable when there is something to pass on; `None` while it waits for room.
    pub(super) fn from(&self) -> Option<BorrowedFd<'_>> {
        let has_room = self.waiting.is_empty();
        self.from.as_ref().filter(|_| has_room).map(AsFd::as_fd)
    }

    /// Writable when there is room; `None` while there is nothing to write.
    pub(super) fn to(&self) -> Option<BorrowedFd<'_>> {
        let has_more = !self.waiting.is_empty();
        self.to.as_ref().filter(|_| has_more).map(AsFd::as_fd)
    }

    /// Whether nothing more comes from the writer, or nobody reads.
    pub(super) fn is_over(&self) -> bool {
        self.from.is_none()
    }

    /// Passes on what it can. The end of one side is passed on to the other.
    pub(super) fn pass_on(&mut self) -> Found {
        let mut found = Found::Nothing;
        if self.waiting.is_empty() {
            let mut chunk = Vec::new();
            let from = self.from.as_ref();
            match from.map(|from| read_into_room(from.as_fd(), &mut chunk, CHUNK)) {
                Some(Ok(length)) if length > 0 => found = self.hear(&chunk),
                None => {}
                Some(Err(error)) if is_passing(&error) => {}
                Some(Ok(_) | Err(_)) => {
                    self.from = None;
                    self.to = None;
                }
            }
        }
        if let Some(to) = self.to.as_ref().filter(|_| !self.waiting.is_empty()) {
            match write(to, &self.waiting) {
                Ok(length) => drop(self.waiting.drain(..length)),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => {
                    // Nobody reads any more: who writes finds that out.
                    self.waiting.clear();
                    self.from = None;
                    self.to = None;
                }
            }
        }
        found
    }

    /// Takes what was said, up to the bound.
    fn hear(&mut self, said: &[u8]) -> Found {
        let mut allowed = said.len();
        if let Some(left) = &mut self.left {
            allowed = allowed.min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= allowed as u64;
        }
        self.waiting = said[..allowed].to_vec();
        if let Some(Noted {
            direction,
            transcript,
        }) = &self.noted
        {
            transcript.borrow_mut().note(direction, &self.waiting);
        }
        if allowed == said.len() || self.has_exceeded {
            return Found::Nothing;
        }
        self.has_exceeded = true;
        Found::TooMuch
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::read;

    use super::*;

    #[test]
    fn what_is_passed_on_is_written_down_up_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        let transcript = Transcript::create(path.to_str().unwrap(), Some(40)).unwrap();
        let transcript = Rc::new(RefCell::new(transcript));
        let Joined {
            read: end,
            write,
            relay,
        } = join(
            Some(Noted {
                direction: "a -> b".into(),
                transcript,
            }),
            None,
        )
        .unwrap();
        let mut relay = relay.unwrap();
        let (mut program, mut got) = (File::from(write), [0; 100]);
        for said in ["1\n", "a long line that does not fit into the file"] {
            program.write_all(said.as_bytes()).unwrap();
            relay.pass_on();
            let length = read(&end, &mut got).unwrap();
            assert_eq!(&got[..length], said.as_bytes());
        }
        drop(program);
        relay.pass_on();
        assert_eq!(read(&end, &mut got).unwrap(), 0);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(" a -> b: 1\\n\n"), "{text}");
        assert!(
            text.ends_with("(the rest was not written down)\n"),
            "{text}"
        );
    }

    #[test]
    fn what_is_passed_on_ends_at_its_bound() {
        let joined = join(None, Some(5)).unwrap();
        let mut relay = joined.relay.unwrap();
        let (mut program, mut got) = (File::from(joined.write), [0; 100]);
        for (said, found) in [
            ("abcde", Found::Nothing),
            ("f", Found::TooMuch),
            ("g", Found::Nothing),
        ] {
            program.write_all(said.as_bytes()).unwrap();
            assert_eq!(relay.pass_on(), found, "{said}");
        }
        drop(program);
        relay.pass_on();
        assert_eq!(read(&joined.read, &mut got).unwrap(), 5);
        assert_eq!(read(&joined.read, &mut got).unwrap(), 0);
        assert!(join(None, None).unwrap().relay.is_none());
    }
}
