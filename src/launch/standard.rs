//! The standard descriptors that a caller gives to a program: none of them leads out of the
//! sandbox, and a pipe can be opened anew, as `/dev/stdin`, for what the descriptor is good for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::{Gid, Uid, fchown};

use crate::failure::Explained;
use crate::plan::{RunPlan, StderrPlan};
use crate::quantity::Ids;
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
/// inherit. With --inherit-fds the caller has asked for them. Pipes are [shared](share_pipe).
pub(crate) fn hand_on(plan: &RunPlan) -> Result<(), StandardError> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let inherits_stderr = matches!(plan.stderr, StderrPlan::Inherit);
    for (name, descriptor, is_inherited) in [
        ("input", stdin.as_fd(), plan.stdin.is_none()),
        ("output", stdout.as_fd(), plan.stdout.is_none()),
        ("error", stderr.as_fd(), inherits_stderr),
    ] {
        if !is_inherited {
            continue;
        }
        let flags = match fcntl(descriptor, FcntlArg::F_GETFL) {
            Ok(flags) => OFlag::from_bits_retain(flags),
            // It is closed.
            Err(Errno::EBADF) => continue,
            Err(errno) => return Err(StandardError::Unknown(name, errno.into())),
        };
        if !plan.inherit_fds {
            examine(name, descriptor, flags)?;
        }
        if let Err(errno) = share_pipe(descriptor, flags) {
            // The pipe belongs to a user that this namespace does not know. It can be used, but not
            // opened anew.
            log::info!("the program cannot open standard {name} anew: {errno}");
        }
    }
    Ok(())
}

fn examine(
    name: &'static str,
    descriptor: BorrowedFd<'_>,
    flags: OFlag,
) -> Result<(), StandardError> {
    if is_directory(descriptor).map_err(|error| StandardError::Unknown(name, error))? {
        return Err(StandardError::Directory(name));
    }
    if flags.contains(OFlag::O_PATH) {
        return Err(StandardError::Path(name));
    }
    Ok(())
}

/// Gives the program the terminal that a caller's process has made for it alone, so that it can be
/// opened anew. It must belong to that caller, who loses nothing but what is theirs to lose.
pub(crate) fn give_terminal(terminal: BorrowedFd<'_>, caller: u32, ids: Ids) -> nix::Result<()> {
    let is_own = fstat(terminal)?.st_uid == caller;
    if !is_own || fstatfs(terminal)?.filesystem_type() != TERMINALS {
        return Err(Errno::EPERM);
    }
    fchmod(terminal, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
    fchown(terminal, Some(uid), Some(gid))
}

/// The file system of pseudo-terminals (linux/magic.h, DEVPTS_SUPER_MAGIC).
const TERMINALS: FsType = FsType(0x1cd1);

/// The file system of pipes without a name (linux/magic.h, PIPEFS_MAGIC).
const PIPES: FsType = FsType(0x5049_5045);

/// Lets everybody open a pipe without a name anew (`/dev/stdin`), in the way in which this
/// descriptor is open. Only processes that have it open reach it, and the program, not its owner,
/// cannot allow itself more. A pipe that is open to others already stays as it is: its other end
/// may be another program's. Files, FIFOs and terminals have paths, and stay as they are.
fn share_pipe(descriptor: BorrowedFd<'_>, flags: OFlag) -> nix::Result<()> {
    let mode = Mode::from_bits_truncate(fstat(descriptor)?.st_mode);
    let is_pipe = || fstatfs(descriptor).map(|found| found.filesystem_type() == PIPES);
    let wanted = match flags & OFlag::O_ACCMODE {
        OFlag::O_RDONLY => Mode::S_IROTH,
        OFlag::O_WRONLY => Mode::S_IWOTH,
        _ => Mode::S_IROTH | Mode::S_IWOTH,
    };
    let others = Mode::S_IROTH | Mode::S_IWOTH;
    // With both bits, either of two programs could use a pipe between them in both directions.
    if mode.intersects(others) || !is_pipe()? {
        return Ok(());
    }
    fchmod(descriptor, mode | wanted)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    fn examined(descriptor: impl Into<OwnedFd>) -> Result<(), String> {
        let descriptor = descriptor.into();
        let flags = fcntl(&descriptor, FcntlArg::F_GETFL).unwrap();
        let flags = OFlag::from_bits_retain(flags);
        examine("input", descriptor.as_fd(), flags).map_err(|error| error.to_string())
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

    #[test]
    fn only_a_terminal_of_the_callers_own_is_given_away() {
        let own = nix::unistd::geteuid().as_raw();
        let ids = Ids {
            uid: own,
            gid: nix::unistd::getegid().as_raw(),
        };
        let pty = nix::pty::openpty(None, None).unwrap();
        let give = |caller| give_terminal(pty.slave.as_fd(), caller, ids);
        assert_eq!(give(own + 1), Err(Errno::EPERM));
        assert_eq!(give(own), Ok(()));
        assert_eq!(fstat(&pty.slave).unwrap().st_mode & 0o777, 0o600);
        let file = tempfile::tempfile().unwrap();
        assert_eq!(give_terminal(file.as_fd(), own, ids), Err(Errno::EPERM));
    }

    #[test]
    fn pipes_can_be_opened_anew_as_they_are_open_and_files_stay_as_they_are() {
        let mode_of = |descriptor: BorrowedFd<'_>, flags| {
            share_pipe(descriptor, flags).unwrap();
            fstat(descriptor).unwrap().st_mode & 0o777
        };
        let (read, _write) = nix::unistd::pipe().unwrap();
        assert_eq!(mode_of(read.as_fd(), OFlag::O_RDONLY), 0o604);
        let (other_read, write) = nix::unistd::pipe().unwrap();
        assert_eq!(mode_of(write.as_fd(), OFlag::O_WRONLY), 0o602);
        // Two programs with a pipe between them.
        assert_eq!(mode_of(other_read.as_fd(), OFlag::O_RDONLY), 0o602);
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(mode_of(file.as_file().as_fd(), OFlag::O_RDWR), 0o600);
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let fifo = File::options().read(true).write(true).open(fifo).unwrap();
        assert_eq!(mode_of(fifo.as_fd(), OFlag::O_RDWR), 0o600);
    }
}
