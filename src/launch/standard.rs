//! The standard descriptors that a caller gives to a program, none of which leads out of the
//! sandbox.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::failure::Explained;
use crate::plan::{RunPlan, StderrPlan};
use crate::sys::file::is_directory;

/// Why a standard descriptor is not handed on.
#[derive(Debug)]
pub(crate) enum StandardError {
    /// It is a directory: fchdir(2) and `..` lead from there to every file of the host.
    Directory(&'static str),
    /// It was opened with O_PATH, and may stand for anything (open(2)).
    Path(&'static str),
    /// It cannot be examined.
    Unknown(&'static str, io::Error),
}

impl fmt::Display for StandardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, what) = match self {
            Self::Directory(name) => (name, "is a directory"),
            Self::Path(name) => (name, "was opened as a path (O_PATH)"),
            Self::Unknown(name, _) => return write!(f, "cannot examine standard {name}"),
        };
        write!(
            f,
            "standard {name} {what}, through which the program could leave the sandbox; use a file, a pipe or \
             /dev/null, redirect it inside the sandbox, or allow it by --inherit-fds"
        )
    }
}

impl std::error::Error for StandardError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directory(_) | Self::Path(_) => None,
            Self::Unknown(_, error) => Some(error),
        }
    }
}

impl Explained for StandardError {}

/// Refuses directories and O_PATH descriptors among the standard descriptors that the program will
/// inherit. With --inherit-fds the caller has asked for them.
pub(crate) fn refuse_ways_out(plan: &RunPlan) -> Result<(), StandardError> {
    if plan.inherit_fds {
        return Ok(());
    }
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let inherits_stderr = matches!(plan.stderr, StderrPlan::Inherit);
    for (name, descriptor, is_inherited) in [
        ("input", stdin.as_fd(), plan.stdin.is_none()),
        ("output", stdout.as_fd(), plan.stdout.is_none()),
        ("error", stderr.as_fd(), inherits_stderr),
    ] {
        if is_inherited {
            examine(name, descriptor)?;
        }
    }
    Ok(())
}

fn examine(name: &'static str, descriptor: BorrowedFd<'_>) -> Result<(), StandardError> {
    let flags = match fcntl(descriptor, FcntlArg::F_GETFL) {
        Ok(flags) => OFlag::from_bits_retain(flags),
        // It is closed.
        Err(Errno::EBADF) => return Ok(()),
        Err(errno) => return Err(StandardError::Unknown(name, errno.into())),
    };
    if is_directory(descriptor).map_err(|error| StandardError::Unknown(name, error))? {
        return Err(StandardError::Directory(name));
    }
    if flags.contains(OFlag::O_PATH) {
        return Err(StandardError::Path(name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    fn examined(descriptor: impl Into<OwnedFd>) -> Result<(), String> {
        examine("input", descriptor.into().as_fd()).map_err(|error| error.to_string())
    }

    #[test]
    fn directories_and_paths_are_refused_and_everything_else_is_not() {
        let dir = File::open("/").unwrap();
        let path = File::options()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open("/dev/null")
            .unwrap();
        for (descriptor, what) in [(dir, "is a directory"), (path, "O_PATH")] {
            let refused = examined(descriptor).unwrap_err();
            assert!(refused.contains(what), "{refused}");
            assert!(refused.contains("--inherit-fds"), "{refused}");
        }
        let (pipe, _write) = nix::unistd::pipe().unwrap();
        assert_eq!(examined(pipe), Ok(()));
        assert_eq!(examined(File::open("/dev/null").unwrap()), Ok(()));
        assert_eq!(examined(tempfile::tempfile().unwrap()), Ok(()));
    }
}
