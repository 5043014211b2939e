//! The outputs of a run that this process takes, up to a bound.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use crate::batch::job::words::Output;
use crate::batch::result::Content;
use crate::caller::create_regular;
use crate::sys::file::{is_passing, read_into_room};

/// The bound of an output in the result, where nothing names one, in bytes.
pub(super) const MOST_INLINE: u64 = 1 << 20;
/// The bound of an output to a file of the caller's, where nothing names one.
const MOST_IN_FILE: u64 = 64 << 20;
/// How much is read at once.
pub(super) const CHUNK: usize = 64 << 10;

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
                let kept = Kept::File(create_regular(Path::new(&file.name))?);
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
        let mut chunk = Vec::new();
        let length = match read_into_room(end.as_fd(), &mut chunk, CHUNK) {
            Ok(0) => {
                self.end = None;
                return Found::Nothing;
            }
            Ok(length) => length,
            Err(error) if is_passing(&error) => return Found::Nothing,
            Err(error) => {
                self.failure = Some(error.to_string());
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

/// Has reads and writes by this process wait for nothing.
pub(super) fn set_not_blocking(fd: &OwnedFd) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
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
}
