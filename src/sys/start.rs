//! What a process needs before anything else, which Rust's runtime would do where it is there.

use std::io;

use super::check;

/// Does all of it.
pub(crate) fn as_the_runtime_would() -> io::Result<()> {
    open_standard_descriptors()?;
    ignore_broken_pipes()
}

/// Opens `/dev/null` in the place of each standard descriptor that is closed: the next file to be
/// opened would get its number, and a message would be written into it.
fn open_standard_descriptors() -> io::Result<()> {
    let mut standard = [0, 1, 2].map(|fd| libc::pollfd {
        fd,
        events: 0,
        revents: 0,
    });
    // SAFETY: the kernel reads and writes three elements of an array that outlives the call.
    check(unsafe { libc::poll(standard.as_mut_ptr(), 3, 0) }.into())?;
    let is_closed = |polled: &&libc::pollfd| polled.revents & libc::POLLNVAL != 0;
    let mut closed = standard.iter().filter(is_closed);
    closed.try_for_each(|_| open_null())
}

/// Opens it with the lowest number that is free.
fn open_null() -> io::Result<()> {
    // SAFETY: the path is null-terminated and outlives the call. The descriptor stays open.
    check(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) }.into()).map(drop)
}

/// Has a write into a pipe that nobody reads fail, and not kill this process.
fn ignore_broken_pipes() -> io::Result<()> {
    // SAFETY: SIG_IGN runs no code of ours.
    match unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
