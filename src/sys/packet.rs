//! Messages with any number of descriptors, over sockets that keep message boundaries.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, recv, sendmsg};

use super::check;

/// One message with any number of descriptors.
#[derive(Debug)]
pub(crate) struct Packet {
    /// How many bytes it has; 0 when the other side is gone.
    pub(crate) length: usize,
    /// The descriptors that came beside it, closed on exec.
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// Sends one message with copies of descriptors. EPIPE, without a signal, when the other side is
/// gone.
pub(crate) fn send_packet(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: MsgFlags,
) -> io::Result<()> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let control = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &control };
    let parts = [IoSlice::new(bytes)];
    let flags = flags | MsgFlags::MSG_NOSIGNAL;
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &parts, control, flags, None) {
            Err(Errno::EINTR) => {}
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(_) => return Err(io::Error::from_raw_os_error(libc::EMSGSIZE)),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A message had descriptors beside it that did not arrive, although there was room for them: the
/// kernel drops those that the receiver may not or cannot have (recvmsg(2), MSG_CTRUNC).
#[derive(Debug)]
pub(crate) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the kernel has dropped a descriptor on its way: a security module does not let this \
             process have it (SELinux: ausearch -m avc -ts recent; AppArmor: journalctl -k), or \
             it has too many open files",
        )
    }
}

impl std::error::Error for Dropped {}

/// How many bytes the next message has, which stays where it is; 0 when the other side is gone.
pub(crate) fn next_length(socket: BorrowedFd<'_>, flags: MsgFlags) -> io::Result<usize> {
    let flags = flags | MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    loop {
        match recv(socket.as_raw_fd(), &mut [], flags) {
            // This is as in `receive_packet`.
            Err(Errno::EINTR | Errno::ECONNRESET) => {}
            other => return Ok(other?),
        }
    }
}

/// Receives one message and up to `most` descriptors. EMSGSIZE for one that does not fit in the
/// buffer or has more descriptors, [`Dropped`] for one that lost some; those that came are closed
/// then.
pub(crate) fn receive_packet(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    most: usize,
    flags: MsgFlags,
) -> io::Result<Packet> {
    // With room for one more, a message with too many is known.
    // SAFETY: this only computes.
    let room = unsafe { libc::CMSG_SPACE(((most + 1) * size_of::<RawFd>()) as u32) } as usize;
    let mut space = vec![0_u64; room.div_ceil(size_of::<u64>())];
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: msghdr is plain integers and pointers, for which all zeroes is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = space.as_mut_ptr().cast();
    header.msg_controllen = room as _;
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let length = loop {
        // SAFETY: the header names buffers with their lengths, which outlive the call.
        let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags.bits()) };
        match check(received as libc::c_long) {
            Ok(length) => break length as usize,
            // ECONNRESET: the other side is gone without having read everything; what it had sent
            // comes after.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::ECONNRESET)) => {}
            Err(error) => return Err(error),
        }
    };
    let descriptors = descriptors_beside(&header);
    let is_cut = |flag: libc::c_int| header.msg_flags & flag != 0;
    if is_cut(libc::MSG_TRUNC) || descriptors.len() > most {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    if is_cut(libc::MSG_CTRUNC) {
        return Err(io::Error::other(Dropped));
    }
    Ok(Packet {
        length,
        descriptors,
    })
}

/// The descriptors that came beside a message which recvmsg(2) has filled in. They are all taken,
/// also of a message that was cut: what nobody takes stays open.
fn descriptors_beside(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut found = Vec::new();
    // SAFETY: the kernel has filled the header's control buffer, and noted its length.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: it is null, or a whole head within that buffer.
    while let Some(head) = unsafe { control.as_ref() } {
        if (head.cmsg_level, head.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: this only computes.
            let begin = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = head.cmsg_len.saturating_sub(begin) / size_of::<RawFd>();
            // SAFETY: what belongs to a head comes after it, in the same buffer.
            let data = unsafe { libc::CMSG_DATA(control) }.cast::<RawFd>();
            for at in 0..count {
                // SAFETY: the kernel has put `count` numbers there.
                let place = unsafe { data.add(at) };
                // SAFETY: this is one of them, aligned or not.
                let raw = unsafe { place.read_unaligned() };
                // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
                found.push(unsafe { OwnedFd::from_raw_fd(raw) });
            }
        }
        // SAFETY: as for the first one.
        control = unsafe { libc::CMSG_NXTHDR(header, control) };
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::sys::resource::{Resource, setrlimit};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    use super::super::socket::pair;
    use super::*;

    /// How a process that sees nothing of the others' descriptors ends.
    fn alone(body: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child goes on with this thread alone, and ends without running anything else;
        // libc keeps its allocator usable after fork(2).
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => crate::sys::process::exit_now(i32::from(!body())),
            ForkResult::Parent { child } => {
                waitpid(child, None) == Ok(WaitStatus::Exited(child, 0))
            }
        }
    }

    fn open() -> usize {
        std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
    }

    #[test]
    fn descriptors_of_a_refused_message_are_closed() {
        let (ours, theirs) = pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(alone(|| {
            let before = open();
            (0..100).all(|most| {
                let beside = vec![null.as_fd(); most + 1 + most % 3];
                let flags = MsgFlags::empty();
                let sent = send_packet(ours.as_fd(), b"x", &beside, flags);
                let refused = receive_packet(theirs.as_fd(), &mut [0; 1], most, flags);
                let refused = refused.map_err(|error| error.raw_os_error());
                sent.is_ok() && matches!(refused, Err(Some(libc::EMSGSIZE)))
            }) && open() == before
        }));
    }

    #[test]
    fn the_length_of_a_message_is_known_before_it_is_received() {
        let (ours, theirs) = pair().unwrap();
        let length = |flags| next_length(theirs.as_fd(), flags);
        let nothing = length(MsgFlags::MSG_DONTWAIT).unwrap_err();
        assert_eq!(nothing.raw_os_error(), Some(libc::EAGAIN));
        for bytes in [vec![7; 3], vec![7; 70_000]] {
            send_packet(ours.as_fd(), &bytes, &[ours.as_fd()], MsgFlags::empty()).unwrap();
            assert_eq!(length(MsgFlags::empty()).unwrap(), bytes.len());
            let mut buffer = vec![0; bytes.len()];
            let flags = MsgFlags::empty();
            let packet = receive_packet(theirs.as_fd(), &mut buffer, 1, flags).unwrap();
            assert_eq!((packet.length, packet.descriptors.len()), (bytes.len(), 1));
        }
        drop(ours);
        assert_eq!(length(MsgFlags::empty()).unwrap(), 0);
    }

    #[test]
    fn a_descriptor_that_was_dropped_on_its_way_is_told_as_such() {
        let (ours, theirs) = pair().unwrap();
        assert!(alone(|| {
            let flags = MsgFlags::empty();
            let beside = [ours.as_fd(), ours.as_fd()];
            let sent = send_packet(ours.as_fd(), b"x", &beside, flags);
            let full = setrlimit(Resource::RLIMIT_NOFILE, 3, 3);
            let lost = receive_packet(theirs.as_fd(), &mut [0; 1], 2, flags);
            let said = lost.map_err(|error| error.to_string().contains("dropped a descriptor"));
            sent.is_ok() && full.is_ok() && matches!(said, Err(true))
        }));
    }
}
