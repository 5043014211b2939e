//! The terminals among the caller's standard descriptors. A program may leave them without echo, or
//! otherwise of no use for the next person who types there.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};

/// Each terminal, with its settings before the run (termios(3)), and the flags of standard error,
/// which is mostly the same open file as the other two.
#[derive(Debug)]
pub(crate) struct Terminals(Vec<(Handle, Termios)>, Option<OFlag>);

/// How a terminal is found again.
#[derive(Debug)]
enum Handle {
    /// By its place in its file system, which does not keep it open (O_PATH): whoever has the other
    /// end of a pseudo-terminal is told when the program has closed it.
    Place(OwnedFd),
    /// By a copy of the descriptor. This process may not open it anew, as after su(1).
    Open(OwnedFd),
}

impl Handle {
    fn of(terminal: BorrowedFd<'_>) -> io::Result<Self> {
        let path = format!("/proc/self/fd/{}", terminal.as_raw_fd());
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let place = open(path.as_str(), flags, Mode::empty());
        match place.map(Self::Place) {
            Ok(place) if place.open().is_ok() => Ok(place),
            _ => Ok(Self::Open(terminal.try_clone_to_owned()?)),
        }
    }

    /// The terminal; EIO when it is gone, also if another one has its number.
    fn open(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Place(place) => {
                let path = format!("/proc/self/fd/{}", place.as_raw_fd());
                let flags =
                    OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                Ok(open(path.as_str(), flags, Mode::empty())?)
            }
            Self::Open(copy) => copy.try_clone(),
        }
    }
}

impl Terminals {
    /// Remembers the settings of those that are standard descriptors. A terminal whose settings
    /// cannot be read stays as the program leaves it.
    pub(crate) fn remember() -> Self {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let flags = flags(stderr.as_fd());
        Self(
            Self::among([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]),
            flags,
        )
    }

    fn among(descriptors: [BorrowedFd<'_>; 3]) -> Vec<(Handle, Termios)> {
        let remembered = descriptors.into_iter().filter_map(|descriptor| {
            // ENOTTY for what is not a terminal.
            let state = tcgetattr(descriptor).ok()?;
            Some((Handle::of(descriptor).ok()?, state))
        });
        remembered.collect()
    }

    /// Restores their settings, except those of a terminal that somebody else has now: a run in the
    /// background must not disturb the foreground.
    pub(crate) fn restore(&self) {
        restore_flags(io::stderr().as_fd(), self.1);
        for (handle, before) in &self.0 {
            let restored = handle
                .open()
                .and_then(|terminal| Ok(restore(terminal.as_fd(), before)?));
            if let Err(error) = restored {
                // The terminal is gone, and nobody types there any more.
                log::info!("cannot make the terminal what it was: {error}");
            }
        }
    }
}

fn restore(terminal: BorrowedFd<'_>, before: &Termios) -> nix::Result<()> {
    if is_others(terminal) || tcgetattr(terminal)? == *before {
        return Ok(());
    }
    tcsetattr(terminal, SetArg::TCSANOW, before)
}

/// What fcntl(2) can set: above all O_NONBLOCK, by which others who write there would lose what
/// they write.
fn flags(descriptor: BorrowedFd<'_>) -> Option<OFlag> {
    let flags = fcntl(descriptor, FcntlArg::F_GETFL).ok()?;
    Some(OFlag::from_bits_retain(flags))
}

fn restore_flags(descriptor: BorrowedFd<'_>, before: Option<OFlag>) {
    if let Some(before) = before.filter(|before| flags(descriptor) != Some(*before)) {
        // A descriptor that was closed meanwhile has none.
        fcntl(descriptor, FcntlArg::F_SETFL(before)).ok();
    }
}

/// Whether another process group of our session has the terminal. A terminal of another session is
/// ours to restore.
fn is_others(terminal: BorrowedFd<'_>) -> bool {
    tcgetpgrp(terminal).is_ok_and(|foreground| foreground != getpgrp())
}

#[cfg(test)]
mod tests {
    use nix::pty::openpty;
    use nix::sys::termios::LocalFlags;

    use super::*;

    fn among(descriptors: [BorrowedFd<'_>; 3]) -> Terminals {
        Terminals(Terminals::among(descriptors), None)
    }

    #[test]
    fn a_stream_that_does_not_block_any_more_does_again() {
        let (_reader, writer) = nix::unistd::pipe().unwrap();
        let before = flags(writer.as_fd());
        let set = FcntlArg::F_SETFL(OFlag::O_NONBLOCK);
        fcntl(&writer, set).unwrap();
        assert_ne!(flags(writer.as_fd()), before);
        restore_flags(writer.as_fd(), before);
        assert_eq!(flags(writer.as_fd()), before);
    }

    #[test]
    fn a_terminal_without_echo_has_it_again() {
        let pty = openpty(None, None).unwrap();
        let before = tcgetattr(&pty.slave).unwrap();
        assert!(before.local_flags.contains(LocalFlags::ECHO));
        let null = std::fs::File::open("/dev/null").unwrap();
        let terminals = among([null.as_fd(), pty.slave.as_fd(), null.as_fd()]);
        assert_eq!(terminals.0.len(), 1);
        let mut silent = before.clone();
        silent
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ICANON);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &silent).unwrap();
        terminals.restore();
        assert_eq!(tcgetattr(&pty.slave).unwrap(), before);
    }
    #[test]
    fn a_terminal_is_not_kept_open_and_one_that_is_gone_is_left_alone() {
        let pty = openpty(None, None).unwrap();
        let slave = pty.slave.as_fd();
        let terminals = among([slave, slave, slave]);
        drop(pty.slave);
        // Nobody has the other end.
        let hung_up = nix::unistd::read(&pty.master, &mut [0]);
        assert_eq!(hung_up, Err(nix::errno::Errno::EIO));
        drop(pty.master);
        terminals.restore();
        // Perhaps with its number.
        let other = openpty(None, None).unwrap();
        let before = tcgetattr(&other.slave).unwrap();
        terminals.restore();
        assert_eq!(tcgetattr(&other.slave).unwrap(), before);
        assert!(terminals.0[0].0.open().is_err());
    }
}
