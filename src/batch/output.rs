//! Where results go: written as the reader takes them, so that nobody else waits for it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::write;

use crate::sys::poll::{self, writable};

/// How many bytes a writable pipe takes at least (pipe(7), PIPE_BUF).
const CHUNK: usize = 4096;
/// While more than this waits to be written, in bytes, no further job begins.
const MUCH: usize = 1 << 20;

/// Standard output.
#[derive(Debug)]
pub(super) struct Output {
    to: OwnedFd,
    /// It is a file: lines are written as a whole, so that a death leaves none in halves.
    is_file: bool,
    waiting: Vec<u8>,
    is_broken: bool,
}

impl Output {
    /// Writes to this descriptor.
    pub(super) fn new(to: OwnedFd) -> io::Result<Self> {
        use nix::sys::stat::{SFlag, fstat};
        let kind = SFlag::from_bits_truncate(fstat(&to)?.st_mode) & SFlag::S_IFMT;
        Ok(Self {
            to,
            is_file: kind == SFlag::S_IFREG,
            waiting: Vec::new(),
            is_broken: false,
        })
    }

    /// Takes a line to be written.
    pub(super) fn push(&mut self, line: &[u8]) {
        if !self.is_broken {
            self.waiting.extend(line);
        }
    }

    /// Writable when there is something to write and room for it.
    pub(super) fn ready(&self) -> Option<BorrowedFd<'_>> {
        (!self.waiting.is_empty()).then(|| self.to.as_fd())
    }

    /// Whether the reader is far behind.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() > MUCH
    }

    /// Nobody will ever read it.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Writes what can be written without waiting.
    pub(super) fn go_on(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            if !self.is_file && !poll::is_so(writable(self.to.as_fd()))? {
                return Ok(());
            }
            let most = if self.is_file { usize::MAX } else { CHUNK };
            let part = &self.waiting[..self.waiting.len().min(most)];
            match write(&self.to, part) {
                Ok(length) => drop(self.waiting.drain(..length)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => {
                    self.is_broken = true;
                    self.waiting = Vec::new();
                    return match errno {
                        Errno::EPIPE => Ok(()),
                        errno => Err(errno.into()),
                    };
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_slow_reader_stops_nobody_and_gets_everything() {
        let (mut reader, ours) = UnixStream::pair().unwrap();
        let mut output = Output::new(ours.into()).unwrap();
        output.push(&vec![b'x'; 2 << 20]);
        output.go_on().unwrap();
        assert!(output.is_full());
        let mut all = 0;
        let mut chunk = vec![0; 65536];
        while output.ready().is_some() {
            all += reader.read(&mut chunk).unwrap();
            output.go_on().unwrap();
        }
        drop(output);
        all += reader.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(all, 2 << 20);
    }

    #[test]
    fn a_reader_that_is_gone_is_no_error() {
        let (reader, ours) = UnixStream::pair().unwrap();
        drop(reader);
        let mut output = Output::new(ours.into()).unwrap();
        output.push(b"x\n");
        output.go_on().unwrap();
        assert!(output.is_broken());
        output.push(b"y\n");
        assert!(output.ready().is_none());
    }
}
