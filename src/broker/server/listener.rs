//! The socket that callers connect to: passed in by systemd, or made here for a trial.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, socket, sockopt,
};

use crate::failure::Failure;
use crate::sys::descriptors::handed_down;
use crate::sys::socket::accept;

/// A listening socket that does not block.
#[derive(Debug)]
pub(super) struct Listener {
    socket: OwnedFd,
    /// Its path if it was made here; then it is removed at the end.
    path: Option<PathBuf>,
}

impl Listener {
    /// Takes the socket from systemd (sd_listen_fds(3)), or makes one at `path`.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        match path {
            Some(path) => {
                let step = format!("cannot listen on '{}'", path.display());
                Self::make(path).map_err(Failure::at(&step))
            }
            None => Self::hand_over(),
        }
    }

    fn hand_over() -> Result<Self, Failure> {
        let numbers = sd_notify::listen_fds().map_err(Failure::at("cannot take a socket over"))?;
        let numbers: Vec<_> = numbers.collect();
        let &[number] = &numbers[..] else {
            return Err(Failure::new(format!(
                "systemd hands over {} sockets instead of one: start isolate.socket, or give --socket",
                numbers.len()
            )));
        };
        let socket = handed_down(number).map_err(Failure::at("cannot take a socket over"))?;
        let kind = getsockopt(&socket, sockopt::SockType)
            .map_err(Failure::at("cannot examine the socket from systemd"))?;
        if kind != SockType::SeqPacket {
            return Err(Failure::new(
                "the socket from systemd is of another kind: isolate.socket needs ListenSequentialPacket=",
            ));
        }
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(Failure::at("cannot set up the socket from systemd"))?;
        Ok(Self { socket, path: None })
    }

    fn make(path: &Path) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        // From here on the drop removes it.
        let new = Self {
            socket,
            path: Some(path.to_owned()),
        };
        listen(&new.socket, Backlog::MAXCONN)?;
        // Everybody may connect, and finds somebody who listens.
        fs::set_permissions(path, Permissions::from_mode(0o666))?;
        Ok(new)
    }

    /// Takes a connection, if there is one. The connection itself is a blocking socket.
    pub(super) fn accept(&self) -> io::Result<Option<OwnedFd>> {
        match accept(self.socket.as_fd()) {
            Ok(connection) => Ok(Some(connection)),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR | libc::ECONNABORTED) => Ok(None),
                _ => Err(error),
            },
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // If somebody else has removed it, all is well.
            fs::remove_file(path).ok();
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
