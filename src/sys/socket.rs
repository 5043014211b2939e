//! Messages with descriptors over sockets that keep message boundaries, and who is on the other
//! side.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

use super::check;
use super::file::fill;
use super::poll::{is_so, readable};

/// A connected pair of `SOCK_SEQPACKET` sockets, closed on exec.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

/// Sends one message, with a copy of a descriptor or without. EPIPE, without a signal, when the
/// other side is gone.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let raw = descriptor.map(|descriptor| [descriptor.as_raw_fd()]);
    let control: &[ControlMessage<'_>] = match &raw {
        Some(raw) => &[ControlMessage::ScmRights(raw)],
        None => &[],
    };
    let sent = sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(bytes)],
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EMSGSIZE))
    }
}

/// Receives one message of at most `buffer`'s size; its length is 0 when the other side is gone.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = loop {
        match recvmsg::<()>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        ) {
            // ECONNRESET: the other side is gone without having read everything. The kernel says so
            // once; what it had sent before, and then its end, come after.
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::ECONNRESET) => {}
            other => break other?,
        }
    };
    let mut descriptor = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            for raw in descriptors {
                // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
                descriptor = Some(unsafe { OwnedFd::from_raw_fd(raw) });
            }
        }
    }
    Ok((message.bytes, descriptor))
}

/// Receives one message of at most `buffer`'s size, without a descriptor. Its length is 0 when the
/// other side is gone. Allocates nothing.
pub(crate) fn receive_alone(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match nix::sys::socket::recv(socket.as_raw_fd(), buffer, MsgFlags::empty()) {
            // This is as in `receive`.
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::ECONNRESET) => {}
            other => return Ok(other?),
        }
    }
}

/// Receives once from a stream, without waiting, at most so many bytes, which is not 0, behind what
/// `buffer` has; how many came. Room that is not needed is not touched.
pub(crate) fn receive_into_room(
    socket: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    most: usize,
) -> io::Result<usize> {
    let receive = |room: *mut u8, length: usize| {
        let (socket, flags) = (socket.as_raw_fd(), libc::MSG_DONTWAIT);
        // SAFETY: `room` has `length` bytes, which nobody else uses meanwhile.
        unsafe { libc::recv(socket, room.cast(), length, flags) as libc::c_long }
    };
    // SAFETY: without MSG_TRUNC, recv(2) writes as many bytes as it returns.
    unsafe { fill(buffer, most, receive) }
}

/// The next bytes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// So many bytes were read; 0 when the other side is gone.
    Read(usize),
    /// So many bytes are in the buffer but were *not* taken from the stream: a descriptor lies
    /// beside the last of them.
    Unread(usize),
}

/// Reads from a stream without waiting, but never past a descriptor: reading would drop it, its
/// last copy may close in this process, and its sender chooses how long that takes (SO_LINGER,
/// socket(7)).
pub(crate) fn receive_bytes(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Bytes> {
    let mut parts = [IoSliceMut::new(buffer)];
    let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    let seen = recvmsg::<()>(socket.as_raw_fd(), &mut parts, None, look)?;
    let (length, flags) = (seen.bytes, seen.flags);
    if flags.contains(MsgFlags::MSG_CTRUNC) {
        return Ok(Bytes::Unread(length));
    }
    // The bytes that were seen are in front, whatever has come since.
    let seen = buffer.get_mut(..length).unwrap_or_default();
    let read = nix::sys::socket::recv(socket.as_raw_fd(), seen, MsgFlags::MSG_DONTWAIT)?;
    Ok(Bytes::Read(read))
}

/// Accepts a connection, which is closed on exec (accept4(2)).
pub(crate) fn accept(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let raw = nix::sys::socket::accept4(socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Who connected a Unix socket, as the kernel noted it then (unix(7), SO_PEERCRED).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerIds {
    /// The process; 0 when it is not in our PID namespace.
    pub(crate) pid: i32,
    /// Its effective user.
    pub(crate) uid: u32,
    /// Its effective group.
    pub(crate) gid: u32,
}

/// Who is on the other side of a connection.
pub(crate) fn peer_ids(socket: BorrowedFd<'_>) -> io::Result<PeerIds> {
    let found = nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::PeerCredentials)?;
    Ok(PeerIds {
        pid: found.pid(),
        uid: found.uid(),
        gid: found.gid(),
    })
}

/// The supplementary groups of the process that connected, as the kernel noted them then
/// (SO_PEERGROUPS, Linux 4.13). Those that have no number in our user namespace are 65534.
pub(crate) fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    // Enough for nearly everybody, and doubled for the others.
    let mut groups = vec![0_u32; 64];
    loop {
        let mut length = size_of_val(&groups[..]) as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes to numbers that outlive the call.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        match check(result.into()) {
            Ok(_) => {
                groups.truncate(length as usize / size_of::<u32>());
                return Ok(groups);
            }
            // It may have up to 65536 (NGROUPS_MAX).
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) && groups.len() <= 65_536 => {
                groups.resize(2 * groups.len(), 0);
            }
            Err(error) => return Err(error),
        }
    }
}

/// A descriptor of the process that connected (SO_PEERPIDFD, Linux 6.5). ENOPROTOOPT where the
/// kernel does not have this, ESRCH or EINVAL when that process was reaped.
pub(crate) fn peer_pidfd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// From asm-generic/socket.h; libc has it only for some targets.
    const SO_PEERPIDFD: libc::c_int = 77;
    let mut pidfd: libc::c_int = -1;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to an integer that outlives the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut pidfd).cast(),
            &raw mut length,
        )
    };
    check(result.into())?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}

/// Lets this process die by SIGIO as soon as something arrives on the socket or its other side goes
/// away (fcntl(2), O_ASYNC), while SIGIO is not blocked; also when that was before.
pub(crate) fn die_when_heard(socket: BorrowedFd<'_>) -> io::Result<()> {
    let own = nix::unistd::getpid().as_raw();
    // SAFETY: F_SETOWN takes an integer and touches no memory.
    let result = unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETOWN, own) };
    check(result.into())?;
    // SAFETY: F_SETFL takes an integer and touches no memory.
    let result = unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, libc::O_ASYNC) };
    check(result.into())?;
    if is_so(readable(socket))? {
        nix::sys::signal::raise(Signal::SIGIO)?;
    }
    Ok(())
}

/// Takes [`die_when_heard`] back: the other side may go from here on.
pub(crate) fn live_on() -> nix::Result<()> {
    SigSet::from(Signal::SIGIO).thread_block()
}
