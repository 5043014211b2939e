//! Locks on ranges of a file that belong to the open file (fcntl(2), "Open file description
//! locks"): like those of flock(2), they go with the last copy of the descriptor.

use std::fs::File;
use std::io;
use std::ops::Range;

use libc::{c_int, c_short, flock, off_t};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// Locks a range of bytes, which must not be empty, when it is free; whether it is locked now.
pub(crate) fn try_lock(file: &File, range: &Range<u64>) -> io::Result<bool> {
    let request = request(libc::F_WRLCK, range)?;
    match fcntl(file, FcntlArg::F_OFD_SETLK(&request)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Waits until a range is free, and locks it.
pub(crate) fn lock(file: &File, range: &Range<u64>) -> io::Result<()> {
    let request = request(libc::F_WRLCK, range)?;
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLKW(&request)) {
            Err(Errno::EINTR) => {}
            other => return Ok(other.map(drop)?),
        }
    }
}

/// Gives a range up, for all copies of the descriptor.
pub(crate) fn unlock(file: &File, range: &Range<u64>) -> io::Result<()> {
    let request = request(libc::F_UNLCK, range)?;
    Ok(fcntl(file, FcntlArg::F_OFD_SETLK(&request)).map(drop)?)
}

/// A range within this one that others have locked; which one, if there are several, is open.
pub(crate) fn locked_by_others(file: &File, range: &Range<u64>) -> io::Result<Option<Range<u64>>> {
    let mut found = request(libc::F_WRLCK, range)?;
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    if c_int::from(found.l_type) == libc::F_UNLCK {
        return Ok(None);
    }
    let start = u64::try_from(found.l_start).unwrap_or(0);
    let end = match u64::try_from(found.l_len) {
        // To the end of the file, however long it becomes.
        Ok(0) | Err(_) => range.end,
        Ok(length) => start.saturating_add(length),
    };
    Ok(Some(start.max(range.start)..end.min(range.end)))
}

fn request(kind: c_int, range: &Range<u64>) -> io::Result<flock> {
    let short = |number: c_int| c_short::try_from(number).map_err(io::Error::other);
    let offset = |at: u64| off_t::try_from(at).map_err(io::Error::other);
    Ok(flock {
        l_type: short(kind)?,
        l_whence: short(libc::SEEK_SET)?,
        l_start: offset(range.start)?,
        l_len: offset(range.end.saturating_sub(range.start))?,
        l_pid: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_files_until_all_its_copies_are_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks");
        let open = || File::options().create(true).append(true).open(&path);
        let (first, second) = (open().unwrap(), open().unwrap());
        assert!(try_lock(&first, &(4..6)).unwrap());
        assert!(try_lock(&first, &(4..6)).unwrap());
        assert!(try_lock(&second, &(6..8)).unwrap());
        assert!(!try_lock(&second, &(5..6)).unwrap());
        assert_eq!(locked_by_others(&second, &(0..9)).unwrap(), Some(4..6));
        assert_eq!(locked_by_others(&second, &(5..9)).unwrap(), Some(5..6));
        assert_eq!(locked_by_others(&second, &(6..9)).unwrap(), None);
        let copy = first.try_clone().unwrap();
        drop(first);
        assert!(!try_lock(&second, &(4..6)).unwrap());
        drop(copy);
        lock(&second, &(4..6)).unwrap();
        unlock(&second, &(4..5)).unwrap();
        assert!(try_lock(&open().unwrap(), &(4..5)).unwrap());
    }
}
