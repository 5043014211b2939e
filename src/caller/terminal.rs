//! The terminals among the caller's standard descriptors. A program may leave them without echo, or
//! otherwise of no use for the next person who types there.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};

/// Each terminal, with its settings before the run (termios(3)).
#[derive(Debug)]
pub(crate) struct Terminals(Vec<(OwnedFd, Termios)>);

impl Terminals {
    /// Remembers their settings. A terminal whose settings cannot be read stays as the program
    /// leaves it.
    pub(crate) fn remember() -> Self {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let descriptors = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        let remembered = descriptors.into_iter().filter_map(|descriptor| {
            // ENOTTY for what is not a terminal.
            let state = tcgetattr(descriptor).ok()?;
            Some((descriptor.try_clone_to_owned().ok()?, state))
        });
        Self(remembered.collect())
    }

    /// Restores their settings, except those of a terminal that somebody else has now: a run in the
    /// background must not disturb the foreground.
    pub(crate) fn restore(&self) {
        for (terminal, before) in &self.0 {
            if is_others(terminal.as_fd()) || tcgetattr(terminal).is_ok_and(|now| now == *before) {
                continue;
            }
            if let Err(errno) = tcsetattr(terminal, SetArg::TCSANOW, before) {
                // The terminal is gone, and nobody types there any more.
                log::info!("cannot make the terminal what it was: {errno}");
            }
        }
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

    #[test]
    fn a_terminal_without_echo_has_it_again() {
        let pty = openpty(None, None).unwrap();
        let before = tcgetattr(&pty.slave).unwrap();
        assert!(before.local_flags.contains(LocalFlags::ECHO));
        let terminals = Terminals(vec![(pty.slave.try_clone().unwrap(), before.clone())]);
        let mut silent = before.clone();
        silent
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ICANON);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &silent).unwrap();
        terminals.restore();
        assert_eq!(tcgetattr(&pty.slave).unwrap(), before);
    }
}
