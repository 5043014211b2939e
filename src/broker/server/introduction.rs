//! What the steward of a series and the keeper of one of its requests say to each other: who calls
//! and what polkit has allowed them, and later what it has allowed for this request.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::socket::MsgFlags;
use serde::{Deserialize, Serialize};

use super::answers::Answers;
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
    answers: Answers,
    is_authorised: bool,
}

/// At the steward: introduces a caller to the keeper of a request, with what was allowed, and
/// whether anything was.
pub(super) fn introduce(
    line: BorrowedFd<'_>,
    peer: &Peer,
    answers: &Answers,
    is_authorised: bool,
) -> io::Result<()> {
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
        answers: answers.clone(),
        is_authorised,
    };
    let bytes = postcard::to_stdvec(&told).map_err(io::Error::other)?;
    let flags = MsgFlags::MSG_DONTWAIT;
    send_packet(line, &bytes, &[subject.pidfd.as_fd()], flags)
}

/// At the keeper: learns who calls, what they are allowed, and whether the steward knows that it is
/// anything.
pub(super) fn be_introduced(line: BorrowedFd<'_>) -> Result<(Peer, Answers, bool), Failure> {
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
        answers,
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
    Ok((peer, answers, is_authorised))
}

/// At the keeper: tells what polkit has allowed. A steward that is gone need not know.
pub(super) fn tell(line: BorrowedFd<'_>, answers: &Answers) {
    if let Ok(bytes) = postcard::to_stdvec(answers) {
        send_packet(line, &bytes, &[], MsgFlags::MSG_DONTWAIT).ok();
    }
}

/// At the steward: what a keeper tells; `None` when it has no more to tell.
pub(super) fn hear(line: BorrowedFd<'_>) -> Option<Answers> {
    let mut buffer = [0; 4096];
    let packet = receive_packet(line, &mut buffer, 0, MsgFlags::MSG_DONTWAIT).ok()?;
    postcard::from_bytes(&buffer[..packet.length]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::server::answers::Question;
    use crate::clock::Moment;
    use crate::polkit::{Action, Dialog};
    use crate::sys::socket::pair;

    #[test]
    fn who_calls_is_told_with_all_groups_that_can_be_named() {
        let (ours, theirs) = pair().unwrap();
        let mut peer = Peer::of(ours.as_fd()).unwrap();
        peer.groups = (1..65_536).map(|group| u32::MAX - group).collect();
        let question = Question::of(Action::UseBox, &[("program", "x".into())]);
        let now = Moment::now().unwrap();
        let answers = Answers::to(vec![question; 64], now, Dialog::Impossible);
        introduce(ours.as_fd(), &peer, &answers, true).unwrap();
        let (told, known, is_authorised) = be_introduced(theirs.as_fd()).unwrap();
        assert!(is_authorised);
        assert_eq!(told.ids.pid, peer.ids.pid);
        assert_eq!(told.subject.start_time, peer.subject.start_time);
        assert_eq!(known, answers);
        let named = |groups: &[u32]| groups::names(groups, "");
        assert_eq!(named(&told.groups), named(&peer.groups));
        // What a keeper says fits as well.
        tell(theirs.as_fd(), &answers);
        assert_eq!(hear(ours.as_fd()), Some(answers));
        drop(theirs);
        assert_eq!(hear(ours.as_fd()), None);
    }

    #[test]
    fn nobody_is_served_without_an_introduction() {
        let (ours, theirs) = pair().unwrap();
        assert!(be_introduced(theirs.as_fd()).is_err());
        tell(ours.as_fd(), &Answers::default());
        let refused = be_introduced(theirs.as_fd()).unwrap_err();
        assert_eq!(refused.to_string(), "it is not known who is calling");
    }
}
