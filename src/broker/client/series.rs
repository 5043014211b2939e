//! Many calls over one connection: each gets a channel of its own, which is used like a connection.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::MsgFlags;

use super::connect_to_broker;
use crate::broker::opening::{ANOTHER, Opening};
use crate::broker::reply::Reply;
use crate::broker::wire::receive_reply;
use crate::failure::Failure;
use crate::sys::packet::{receive_packet, send_packet};
use crate::sys::poll::{self, readable};
use crate::sys::socket::pair;

/// The connection. Processes that this one has cloned may use it at the same time.
#[derive(Debug)]
pub(crate) struct Series(OwnedFd);

impl Series {
    /// Connects.
    pub(crate) fn open() -> Result<Self, Failure> {
        let connection = connect_to_broker()?;
        let opening = Opening::Series.to_bytes()?;
        // A refusal may come before this was read, and is heard later.
        send_packet(connection.as_fd(), &opening, &[], MsgFlags::empty()).ok();
        Ok(Self(connection))
    }

    /// The channel of another call; `None` when the series is over, and another one may be opened.
    pub(crate) fn another(&self) -> Result<Option<OwnedFd>, Failure> {
        let (ours, theirs) = pair().map_err(Failure::at("cannot make a pair of sockets"))?;
        let connection = self.0.as_fd();
        let flags = MsgFlags::empty();
        let sent = send_packet(connection, &ANOTHER, &[theirs.as_fd()], flags);
        drop(theirs);
        let packet =
            sent.and_then(|()| receive_packet(ours.as_fd(), &mut [0; ANOTHER.len()], 1, flags));
        let channel = packet
            .ok()
            .and_then(|packet| packet.descriptors.into_iter().next());
        match channel {
            Some(channel) => Ok(Some(channel)),
            None => self.refusal().map_or(Ok(None), Err),
        }
    }

    /// Why the series was refused, if anybody has said so.
    fn refusal(&self) -> Option<Failure> {
        let connection = self.0.as_fd();
        if !poll::is_so(readable(connection)).unwrap_or_default() {
            return None;
        }
        match receive_reply(connection) {
            Ok(Some(Reply::Failed(message))) => Some(Failure::new(message)),
            _ => None,
        }
    }

    /// Its number in this process.
    pub(crate) fn number(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::thread::spawn;

    use super::*;
    use crate::broker::wire::send_reply;

    #[test]
    fn each_call_has_a_channel_and_the_end_of_the_series_is_known() {
        let (ours, theirs) = pair().unwrap();
        let series = Series(ours);
        let broker = spawn(move || {
            let mut far_ends = Vec::new();
            for _ in 0..2 {
                let packet =
                    receive_packet(theirs.as_fd(), &mut [0], 1, MsgFlags::empty()).unwrap();
                let (near, far) = pair().unwrap();
                let way = packet.descriptors[0].as_fd();
                send_packet(way, &ANOTHER, &[far.as_fd()], MsgFlags::empty()).unwrap();
                far_ends.push(near);
            }
            send_packet(far_ends[1].as_fd(), &[7], &[], MsgFlags::empty()).unwrap();
            // One that is not answered, and is told why.
            let _way = receive_packet(theirs.as_fd(), &mut [0], 1, MsgFlags::empty()).unwrap();
            let reply = Reply::Failed("no room".into());
            send_reply(theirs.as_fd(), &reply).unwrap();
        });
        let channels = [(); 2].map(|()| series.another().unwrap().unwrap());
        let mut byte = [0];
        receive_packet(channels[1].as_fd(), &mut byte, 0, MsgFlags::empty()).unwrap();
        assert_eq!(byte, [7]);
        assert_eq!(series.another().unwrap_err().to_string(), "no room");
        broker.join().unwrap();
        assert!(series.another().unwrap().is_none());
    }
}
