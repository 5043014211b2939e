//! The journal's own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): an entry is a datagram of
//! fields. By hand, since the crates for it wait when the journal does not read.

use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, sendto, socket};

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Sends an entry, if somebody takes it at once: where there is no journal, or where it is busy, it
/// is lost.
pub(super) fn send(fields: &[(&'static str, String)]) {
    let sent = || -> nix::Result<usize> {
        let address = UnixAddr::new(SOCKET)?;
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendto(socket.as_raw_fd(), &datagram(fields), &address, flags)
    };
    if let Err(errno) = sent() {
        log::debug!("no entry in the journal: {errno}");
    }
}

/// The bytes of an entry. A value with a line break has its length before it.
fn datagram(fields: &[(&'static str, String)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            bytes.push(b'\n');
            bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            bytes.push(b'=');
        }
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_a_line_break_cannot_become_another_field() {
        let fields = [("A", "1=2".to_owned()), ("B", "x\nPRIORITY=0".to_owned())];
        let expected = b"A=1=2\nB\n\x0c\0\0\0\0\0\0\0x\nPRIORITY=0\n";
        assert_eq!(datagram(&fields), expected);
    }
}
