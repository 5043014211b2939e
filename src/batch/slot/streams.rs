//! The standard streams of a run, as far as this process has to do with them: what it gives, what
//! it takes up to a bound, and what it passes on between two programs.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read, write};

use crate::batch::job::words::Output;
use crate::batch::result::Content;
use crate::caller::create_file;

/// The bound of an output in the result, where nothing names one, in bytes.
const MOST_INLINE: u64 = 1 << 20;
/// The bound of an output to a file of the caller's, where nothing names one.
const MOST_IN_FILE: u64 = 64 << 20;
/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// Where an output is kept.
#[derive(Debug)]
enum Kept {
    Bytes(Vec<u8>),
    File(File),
}

/// An output that this process reads.
#[derive(Debug)]
pub(super) struct Sink {
    end: Option<OwnedFd>,
    kept: Kept,
    most: u64,
    seen: u64,
    cut: bool,
    failure: Option<String>,
}

/// What came of reading an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing special.
    Nothing,
    /// It has exceeded its bound, for the first time, and that ends the run.
    TooMuch,
}

impl Sink {
    /// What an output needs: this side, if there is one, and the program's.
    pub(super) fn open(
        output: Option<&Output>,
        bound: Option<u64>,
    ) -> io::Result<(Option<Self>, Option<OwnedFd>)> {
        let (kept, max, cut, usual) = match output {
            Some(Output::Inline(inline)) => {
                let max = inline.max.as_ref();
                (Kept::Bytes(Vec::new()), max, inline.cut, MOST_INLINE)
            }
            Some(Output::Path(file)) => {
                let kept = Kept::File(create_file(Path::new(&file.name))?);
                (kept, file.max.as_ref(), false, MOST_IN_FILE)
            }
            Some(Output::File(_) | Output::Pipe(_) | Output::Stdout {}) | None => {
                return Ok((None, None));
            }
        };
        let (end, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        set_not_blocking(&end)?;
        let sink = Self {
            end: Some(end),
            kept,
            most: max.map(|max| max.bytes()).or(bound).unwrap_or(usual),
            seen: 0,
            cut,
            failure: None,
        };
        Ok((Some(sink), Some(theirs)))
    }

    /// Readable when there is something to take; `None` after the end.
    pub(super) fn ready(&self) -> Option<BorrowedFd<'_>> {
        self.end.as_ref().map(AsFd::as_fd)
    }

    /// Takes what there is.
    pub(super) fn take(&mut self) -> Found {
        let Some(end) = &self.end else {
            return Found::Nothing;
        };
        let mut chunk = [0; CHUNK];
        let length = match read(end, &mut chunk) {
            Ok(0) => {
                self.end = None;
                return Found::Nothing;
            }
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => return Found::Nothing,
            Err(errno) => {
                self.failure = Some(errno.desc().to_owned());
                self.end = None;
                return Found::Nothing;
            }
        };
        let room = usize::try_from(self.most.saturating_sub(self.seen)).unwrap_or(usize::MAX);
        let kept = &chunk[..length.min(room)];
        let had_room = self.seen <= self.most;
        self.seen = self.seen.saturating_add(length as u64);
        match &mut self.kept {
            Kept::Bytes(bytes) => bytes.extend_from_slice(kept),
            Kept::File(file) => {
                if let Err(error) = file.write_all(kept) {
                    self.failure.get_or_insert(error.to_string());
                }
            }
        }
        match had_room && self.seen > self.most && !self.cut {
            true => Found::TooMuch,
            false => Found::Nothing,
        }
    }

    /// What could not be kept, and why.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// What is in the result.
    pub(super) fn into_content(self) -> Option<Content> {
        let truncated = self.seen > self.most;
        match self.kept {
            Kept::Bytes(bytes) => Some(Content::new(bytes, truncated)),
            Kept::File(_) => None,
        }
    }
}

fn set_not_blocking(fd: &OwnedFd) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

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
            file: create_file(Path::new(path))?,
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

/// One direction between two programs that this process passes on, to write it down.
#[derive(Debug)]
pub(super) struct Relay {
    from: Option<OwnedFd>,
    to: Option<OwnedFd>,
    waiting: Vec<u8>,
    direction: String,
    transcript: Rc<RefCell<Transcript>>,
}

/// The two ends of a pipe that programs get, and what is between them.
pub(super) struct Joined {
    /// For the one that reads.
    pub(super) read: OwnedFd,
    /// For the one that writes.
    pub(super) write: OwnedFd,
    /// In between, if it is to be written down.
    pub(super) relay: Option<Relay>,
}

/// Joins two programs by a pipe.
pub(super) fn join(
    direction: String,
    transcript: Option<&Rc<RefCell<Transcript>>>,
) -> io::Result<Joined> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    let Some(transcript) = transcript else {
        return Ok(Joined {
            read,
            write,
            relay: None,
        });
    };
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
            direction,
            transcript: Rc::clone(transcript),
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

    /// Passes on what it can. The end of one side is passed on to the other.
    pub(super) fn pass_on(&mut self) {
        if self.waiting.is_empty() {
            let mut chunk = [0; CHUNK];
            match self.from.as_ref().map(|from| read(from, &mut chunk)) {
                Some(Ok(length)) if length > 0 => {
                    self.waiting = chunk[..length].to_vec();
                    let mut transcript = self.transcript.borrow_mut();
                    transcript.note(&self.direction, &self.waiting);
                }
                Some(Err(Errno::EAGAIN | Errno::EINTR)) | None => {}
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::job::word::Bound;
    use crate::batch::job::words::Inline;

    fn sink(max: u64, cut: bool) -> (Sink, File) {
        let output = Output::Inline(Inline {
            max: Some(Bound::of(max)),
            cut,
        });
        let (sink, theirs) = Sink::open(Some(&output), None).unwrap();
        (sink.unwrap(), File::from(theirs.unwrap()))
    }

    #[test]
    fn an_output_is_kept_up_to_its_bound_and_what_is_more_is_told_once() {
        let (mut sink, mut program) = sink(5, false);
        program.write_all(b"abcde").unwrap();
        assert_eq!(sink.take(), Found::Nothing);
        program.write_all(b"f").unwrap();
        assert_eq!(sink.take(), Found::TooMuch);
        program.write_all(b"g").unwrap();
        assert_eq!(sink.take(), Found::Nothing);
        drop(program);
        sink.take();
        assert!(sink.ready().is_none());
        assert_eq!(
            sink.into_content(),
            Some(Content::new(b"abcde".to_vec(), true))
        );
    }

    #[test]
    fn what_is_cut_ends_nothing() {
        let (mut sink, mut program) = sink(1, true);
        program.write_all(b"abc").unwrap();
        assert_eq!(sink.take(), Found::Nothing);
        assert!(sink.into_content().unwrap().truncated);
    }

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
        } = join("a -> b".into(), Some(&transcript)).unwrap();
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
}
