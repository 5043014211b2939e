//! Messages with descriptors over a socket pair that keeps message boundaries.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

/// A connected pair of `SOCK_SEQPACKET` sockets, closed on exec.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

/// Sends one message, with a copy of a descriptor or without. EPIPE when the other side is gone; no
/// signal then.
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
            // ECONNRESET: the other side is gone without having read all. It is told once; what it had sent
            // before, and then its end, come after.
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
