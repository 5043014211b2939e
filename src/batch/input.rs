//! Where lines come from: standard input, or files one after the other. No more is read than is
//! asked for.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::failure::Failure;
use crate::sys::file::{is_passing, read_into_room};
use crate::sys::poll::{self, readable};

/// How much is read at once.
const CHUNK: usize = 64 << 10;
/// The longest line, in bytes.
const LONGEST: usize = 256 << 20;

/// A line and where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbered {
    /// Its text, without its end.
    pub(super) text: Vec<u8>,
    /// The file, or `-`.
    pub(super) source: String,
    /// Its number in there, from 1.
    pub(super) line: u64,
}

/// What there is to read.
#[derive(Debug)]
pub(super) struct Input {
    files: VecDeque<PathBuf>,
    source: String,
    open: Option<OwnedFd>,
    line: u64,
    read: Vec<u8>,
    /// Up to here there is no end of a line.
    searched: usize,
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line.
    Line(Numbered),
    /// Nothing yet: [`Input::ready`] tells when there is.
    Later,
    /// There is nothing more.
    End,
}

impl Input {
    /// These files; `-` is standard input, and so is an empty list.
    pub(super) fn of(mut files: VecDeque<PathBuf>) -> Self {
        if files.is_empty() {
            files.push_back("-".into());
        }
        Self {
            files,
            source: String::new(),
            open: None,
            line: 0,
            read: Vec::new(),
            searched: 0,
        }
    }

    /// Readable when there may be more.
    pub(super) fn ready(&self) -> Option<BorrowedFd<'_>> {
        self.open.as_ref().map(AsFd::as_fd)
    }

    /// The next line, without waiting for it.
    pub(super) fn next(&mut self) -> Result<Next, Failure> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Next::Line(line));
            }
            let Some(file) = &self.open else {
                if !self.open_next()? {
                    return Ok(Next::End);
                }
                continue;
            };
            let is_ready = poll::is_so(readable(file.as_fd()));
            if !is_ready.map_err(Failure::at("cannot look at the input"))? {
                return Ok(Next::Later);
            }
            match read_into_room(file.as_fd(), &mut self.read, CHUNK) {
                Ok(0) => {
                    self.open = None;
                    // A last line without an end.
                    if !self.read.is_empty() {
                        self.read.push(b'\n');
                    }
                }
                Ok(_) => {}
                Err(error) if is_passing(&error) => return Ok(Next::Later),
                Err(error) => {
                    let what = format!("cannot read {}", self.source);
                    return Err(Failure::at(&what)(error));
                }
            }
            if self.read.len() > LONGEST {
                return Err(Failure::new(format!(
                    "line {} is too long: a line has at most {LONGEST} bytes",
                    self.line + 1
                )));
            }
        }
    }

    fn take_line(&mut self) -> Option<Numbered> {
        let found = self.read[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(end) = found.map(|at| self.searched + at) else {
            self.searched = self.read.len();
            return None;
        };
        let rest = self.read.split_off(end + 1);
        let mut text = std::mem::replace(&mut self.read, rest);
        text.pop();
        self.searched = 0;
        self.line += 1;
        Some(Numbered {
            text,
            source: self.source.clone(),
            line: self.line,
        })
    }

    /// Opens the next file; whether there was one.
    fn open_next(&mut self) -> Result<bool, Failure> {
        let Some(path) = self.files.pop_front() else {
            return Ok(false);
        };
        self.source = path.display().to_string();
        self.line = 0;
        let file = match self.source.as_str() {
            "-" => std::io::stdin().as_fd().try_clone_to_owned(),
            _ => File::open(&path).map(OwnedFd::from),
        };
        let what = format!("cannot open {}", self.source);
        self.open = Some(file.map_err(Failure::at(&what))?);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_files_come_with_their_numbers_and_the_last_needs_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let files = [
            write("a", "one\n\ntwo"),
            write("b", ""),
            write("c", "three\n"),
        ];
        let mut input = Input::of(files.into());
        let mut lines = Vec::new();
        while let Next::Line(line) = input.next().unwrap() {
            let file = line.source.rsplit('/').next().unwrap().to_owned();
            lines.push(format!(
                "{file}{}:{}",
                line.line,
                String::from_utf8(line.text).unwrap()
            ));
        }
        assert_eq!(lines, ["a1:one", "a2:", "a3:two", "c1:three"]);
        assert_eq!(input.next().unwrap(), Next::End);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let mut input = Input::of(["/no/such/file".into()].into());
        let failure = input.next().unwrap_err();
        assert_eq!(
            failure.text(),
            "cannot open /no/such/file: No such file or directory"
        );
    }
}
