//! `--tty-hack` with the broker: the program cannot be in the session of the caller's terminal. It
//! gets a terminal of its own, a pseudo-terminal, and what is typed and printed is passed on
//! between the two.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::pty::{PtyMaster, posix_openpt, ptsname_r, unlockpt};
use nix::sys::stat::Mode;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{read, write};

use crate::output::write_all;
use crate::sys::descriptors::{copy_window_size, first_terminal};

/// The caller's terminal and the program's.
#[derive(Debug)]
pub(super) struct Terminal {
    /// The caller's.
    outer: OwnedFd,
    /// Its settings before.
    before: Termios,
    /// Our side of the pseudo-terminal.
    master: PtyMaster,
    /// The program's side. It stays open here: while nobody has it open, the master reports a
    /// hang-up again and again.
    inner: OwnedFd,
    /// Whether nothing more will be typed.
    is_mute: Cell<bool>,
    /// What was typed and has not fitted yet: the program may be slow to read.
    waiting: RefCell<Vec<u8>>,
}

/// How many bytes are passed on at once.
const CHUNK: usize = 4096;

impl Terminal {
    /// Makes a pseudo-terminal that looks like the first terminal among the standard descriptors;
    /// `None` if none of them is one.
    pub(super) fn open() -> io::Result<Option<Self>> {
        let outer = first_terminal([&io::stdin(), &io::stdout(), &io::stderr()])?;
        let Some(outer) = outer else {
            return Ok(None);
        };
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags)?;
        unlockpt(&master)?;
        let inner = open(ptsname_r(&master)?.as_str(), flags, Mode::empty())?;
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let before = tcgetattr(&outer)?;
        tcsetattr(&inner, SetArg::TCSANOW, &before)?;
        copy_window_size(outer.as_fd(), inner.as_fd())?;
        // From here on, keys that make signals make them inside.
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        let new = Self {
            outer,
            before,
            master,
            inner,
            is_mute: Cell::new(false),
            waiting: RefCell::default(),
        };
        tcsetattr(&new.outer, SetArg::TCSANOW, &raw)?;
        Ok(Some(new))
    }

    /// The program's standard descriptor in the place of this one: the pseudo-terminal for every
    /// terminal.
    pub(super) fn instead_of<'a>(&'a self, descriptor: BorrowedFd<'a>) -> BorrowedFd<'a> {
        match nix::unistd::isatty(descriptor) {
            Ok(true) => self.inner.as_fd(),
            _ => descriptor,
        }
    }

    /// Readable when the program has printed something.
    pub(super) fn printed(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// Readable when the caller has typed something; `None` while something that they typed before
    /// still waits, which makes a person who types or pastes wait as at any terminal.
    pub(super) fn typed(&self) -> Option<BorrowedFd<'_>> {
        let is_open = !self.is_mute.get() && self.waiting.borrow().is_empty();
        is_open.then(|| self.outer.as_fd())
    }

    /// Writable when the program's side takes more of what was typed; `None` when nothing is
    /// waiting.
    pub(super) fn taking(&self) -> Option<BorrowedFd<'_>> {
        (!self.waiting.borrow().is_empty()).then(|| self.master.as_fd())
    }

    /// Shows some of what the program has printed; false when there is nothing.
    pub(super) fn show_printed(&self) -> bool {
        let mut buffer = [0; CHUNK];
        match read(&self.master, &mut buffer) {
            Ok(length) if length > 0 => write_all(&self.outer, &buffer[..length]).is_ok(),
            _ => false,
        }
    }

    /// Passes some of what was typed on to the program.
    pub(super) fn pass_typed_on(&self) {
        let mut buffer = [0; CHUNK];
        match read(&self.outer, &mut buffer) {
            Ok(length) if length > 0 => {
                self.waiting.borrow_mut().extend(&buffer[..length]);
                self.pass_rest_on();
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // The terminal is gone, or we are in its background.
            _ => self.is_mute.set(true),
        }
    }

    /// Passes on what was typed, as far as it fits.
    pub(super) fn pass_rest_on(&self) {
        let mut waiting = self.waiting.borrow_mut();
        match write(&self.master, &waiting) {
            Ok(written) => drop(waiting.drain(..written)),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // Nobody will ever read it.
            Err(_) => waiting.clear(),
        }
    }

    /// Takes over the size of the caller's terminal, which has changed.
    pub(super) fn resize(&self) {
        copy_window_size(self.outer.as_fd(), self.master.as_fd()).ok();
    }

    /// Restores the settings of the caller's terminal.
    pub(super) fn give_back(&self) {
        tcsetattr(&self.outer, SetArg::TCSADRAIN, &self.before).ok();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.give_back();
    }
}
