//! Descriptors and their numbers.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::{check, owned};

/// Takes a copy, closed on exec, of a descriptor that the parent of this process handed down. EBADF
/// when there is none.
pub(crate) fn handed_down(number: RawFd) -> io::Result<OwnedFd> {
    copy(number, 3)
}

/// Takes such a descriptor without a copy: it is closed on exec from here on, and when this is
/// dropped. The caller vouches that nobody in this process owns the number.
pub(crate) fn take_over(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD takes integers and touches no memory; a number that is not open is an error.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    // SAFETY: it is open, as the call has shown, and the caller vouches that nobody owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A copy that is closed on exec, with a number from `lowest` up.
pub(crate) fn copy_from(lowest: RawFd, descriptor: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    copy(descriptor.as_raw_fd(), lowest)
}

fn copy(number: RawFd, lowest: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes integers and touches no memory; a number that is not open is an
    // error.
    owned(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, lowest) }.into())
}

/// Makes this number a copy that stays open across exec (dup2(2)), and closes what had the number.
/// The caller vouches that nobody owns it.
pub(crate) fn put_at(number: RawFd, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both are integers; the caller vouches for the number.
    check(unsafe { libc::dup2(descriptor.as_raw_fd(), number) }.into()).map(drop)
}

/// Puts a file, as a rule /dev/null, in the place of standard input and output.
pub(crate) fn put_on_input_and_output(null: BorrowedFd<'_>) -> nix::Result<()> {
    dup2_stdin(null)?;
    dup2_stdout(null)
}

/// The same for standard error as well.
pub(crate) fn put_on_streams(null: BorrowedFd<'_>) -> nix::Result<()> {
    put_on_input_and_output(null)?;
    dup2_stderr(null)
}

/// A copy of the first of these that is a terminal; `None` when none of them is one.
pub(crate) fn first_terminal(descriptors: [&dyn AsFd; 3]) -> io::Result<Option<OwnedFd>> {
    let mut descriptors = descriptors.iter().map(|descriptor| descriptor.as_fd());
    let terminal = descriptors.find(IsTerminal::is_terminal);
    terminal
        .map(|terminal| terminal.try_clone_to_owned())
        .transpose()
}

/// Gives a terminal the size of another one (ioctl_tty(2), TIOCGWINSZ, TIOCSWINSZ).
pub(crate) fn copy_window_size(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: winsize is plain integers, for which all zeroes is a value.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes a winsize, which outlives the call.
    check(unsafe { libc::ioctl(from.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) }.into())?;
    // SAFETY: the kernel reads a winsize, which outlives the call.
    check(unsafe { libc::ioctl(to.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }.into())
        .map(drop)
}
