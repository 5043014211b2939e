//! What the steward of a series and the keeper of one of its requests say to each other: who calls,
//! and later that this request is allowed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::socket::MsgFlags;
use serde::{Deserialize, Serialize};

use super::groups;
use super::peer::Peer;
use crate::broker::protocol::LONGEST_PACKET;
use crate::failure::Failure;
use crate::polkit::Subject;
use crate::sys::packet::{next_length, receive_packet, send_packet};
use crate::sys::process::has_ended;
use crate::sys::socket::PeerIds;

/// Who calls, but for the descriptor of their process, which comes beside this.
#[derive(Debug, Serialize, Deserialize)]
struct Introduction {
    pid: i32,
    uid: u32,
    gid: u32,
    start_time: u64,
    groups: Vec<u32>,
    is_authorised: bool,
}

/// At the steward: introduces a caller to the keeper of a request, and tells whether anything was
/// allowed.
pub(super) fn introduce(line: BorrowedFd<'_>, peer: &Peer, is_authorised: bool) -> io::Result<()> {
    let Peer {
        ids,
        subject,
        groups,
    } = peer;
    let told = Introduction {
        pid: ids.pid,
        uid: ids.uid,
        gid: ids.gid,
        start_time: subject.start_time,
        groups: groups.iter().copied().take(groups::MOST_NAMED).collect(),
        is_authorised,
    };
    let bytes = postcard::to_stdvec(&told).map_err(io::Error::other)?;
    let flags = MsgFlags::MSG_DONTWAIT;
    send_packet(line, &bytes, &[subject.pidfd.as_fd()], flags)
}

/// At the keeper: learns who calls, and whether the steward knows that they are allowed anything.
pub(super) fn be_introduced(line: BorrowedFd<'_>) -> Result<(Peer, bool), Failure> {
    // The steward has told it before it asked for a keeper.
    let length = next_length(line, MsgFlags::MSG_DONTWAIT).unwrap_or_default();
    let mut buffer = vec![0; length.min(LONGEST_PACKET)];
    let packet = receive_packet(line, &mut buffer, 1, MsgFlags::MSG_DONTWAIT);
    let packet = packet.map_err(Failure::at("cannot find out who is calling"))?;
    let told = postcard::from_bytes(&buffer[..packet.length]);
    let (Ok(told), Some(pidfd)) = (told, packet.descriptors.into_iter().next()) else {
        return Err(Failure::new("it is not known who is calling"));
    };
    let Introduction {
        pid,
        uid,
        gid,
        start_time,
        groups,
        is_authorised,
    } = told;
    if has_ended(pidfd.as_fd()).map_err(Failure::at("cannot find out who is calling"))? {
        return Err(Failure::new("the calling process is gone"));
    }
    let peer = Peer {
        ids: PeerIds { pid, uid, gid },
        subject: Subject {
            pid,
            start_time,
            uid,
            pidfd,
        },
        groups,
    };
    Ok((peer, is_authorised))
}

/// At the keeper: tells that its request is allowed. A steward that is gone need not know.
pub(super) fn tell(line: BorrowedFd<'_>) {
    send_packet(line, &[0], &[], MsgFlags::MSG_DONTWAIT).ok();
}

/// At the steward: whether a keeper tells that; otherwise it has no more to tell.
pub(super) fn hear(line: BorrowedFd<'_>) -> bool {
    let packet = receive_packet(line, &mut [0], 0, MsgFlags::MSG_DONTWAIT);
    packet.is_ok_and(|packet| packet.length > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::pair;

    #[test]
    fn who_calls_is_told_with_all_groups_that_can_be_named() {
        let (ours, theirs) = pair().unwrap();
        let mut peer = Peer::of(ours.as_fd()).unwrap();
        peer.groups = (1..65_536).map(|group| u32::MAX - group).collect();
        introduce(ours.as_fd(), &peer, true).unwrap();
        let (told, is_authorised) = be_introduced(theirs.as_fd()).unwrap();
        assert!(is_authorised);
        assert_eq!(told.ids.pid, peer.ids.pid);
        assert_eq!(told.subject.start_time, peer.subject.start_time);
        let named = |groups: &[u32]| groups::names(groups, "");
        assert_eq!(named(&told.groups), named(&peer.groups));
        tell(theirs.as_fd());
        assert!(hear(ours.as_fd()));
        drop(theirs);
        assert!(!hear(ours.as_fd()));
    }

    #[test]
    fn nobody_is_served_without_an_introduction() {
        let (ours, theirs) = pair().unwrap();
        assert!(be_introduced(theirs.as_fd()).is_err());
        tell(ours.as_fd());
        let refused = be_introduced(theirs.as_fd()).unwrap_err();
        assert_eq!(refused.to_string(), "it is not known who is calling");
    }
}
