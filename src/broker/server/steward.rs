//! The process of a series: it has the connection, and each request over it gets a channel and a
//! keeper of its own. What it says of the caller is what the kernel says of who connected.
//!
//! ```text
//! caller  ── ANOTHER, an end of a pair ──▶ steward ── channel, line ──▶ broker ──▶ keeper
//!         ◀─ the other end of the channel ─┘  ▲                                     │
//!                                             └────── over the line: it is allowed ──┘
//! ```
//!
//! It can be made to wait by its own caller alone. It ends with the connection, with the calling
//! process, with the broker, and when nothing is asked for; callers connect again then.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, Shutdown, SockType, getsockopt, shutdown, sockopt};

use super::arrival::REQUEST_PATIENCE;
use super::attend::refuse;
use super::introduction::{hear, introduce};
use super::peer::Peer;
use crate::broker::opening::ANOTHER;
use crate::failure::Failure;
use crate::pool::{Account, RESTARTING};
use crate::sys::packet::{receive_packet, send_packet};
use crate::sys::poll::{self, Until, readable};
use crate::sys::process::has_ended;
use crate::sys::socket::{pair, peer_ids};

/// How long a series stays without a request.
const IDLE: Duration = Duration::from_secs(60);

/// One series.
struct Steward<'a> {
    connection: &'a OwnedFd,
    account: Account,
    peer: Peer,
    /// To the keepers that may still have something to tell.
    lines: Vec<OwnedFd>,
    /// Something was allowed.
    is_authorised: bool,
    /// No more packets come; those that lie there are still served.
    is_closing: bool,
}

/// Serves a series until it is over.
pub(super) fn serve(connection: &OwnedFd, account: Account, peer: Peer) {
    let mut steward = Steward {
        connection,
        account,
        peer,
        lines: Vec::new(),
        is_authorised: false,
        is_closing: false,
    };
    // Whatever does not work: the caller connects again, and is told then.
    while steward.go_on().is_ok_and(|goes_on| goes_on) {}
}

impl Steward<'_> {
    /// Waits for something to happen and attends to it; whether the series goes on.
    fn go_on(&mut self) -> io::Result<bool> {
        let until = match (self.is_authorised, self.lines.is_empty()) {
            (true, true) => Until::within(IDLE),
            (true, false) => Until::Forever,
            (false, _) => Until::within(REQUEST_PATIENCE),
        };
        let gone = (!self.is_closing).then(|| self.account.gone());
        let caller = (!self.is_closing).then(|| self.peer.subject.pidfd.as_fd());
        let own = [Some(self.connection.as_fd()), gone, caller];
        let lines = self.lines.iter().map(|line| Some(line.as_fd()));
        let ready = poll::each(own.into_iter().chain(lines).map(readable), until)?;
        let (own, lines) = ready.split_at(own.len());
        for at in (0..lines.len()).rev().filter(|at| lines[*at]) {
            self.listen(at)?;
        }
        let is_idle = !ready.iter().any(|ready| *ready);
        if is_idle || own[1] || own[2] {
            self.close()?;
        }
        match own[0] || self.is_closing {
            true => self.take_another(),
            false => Ok(true),
        }
    }

    /// Hears a keeper.
    fn listen(&mut self, at: usize) -> io::Result<()> {
        if !hear(self.lines[at].as_fd()) {
            self.lines.swap_remove(at);
            return Ok(());
        }
        if !self.is_authorised {
            // What there is to remember is told by the keeper itself.
            self.account.authorised()?(Vec::new());
        }
        self.is_authorised = true;
        Ok(())
    }

    /// From here on a caller who asks for another channel learns that the series is over.
    fn close(&mut self) -> io::Result<()> {
        if !self.is_closing {
            shutdown(self.connection.as_raw_fd(), Shutdown::Read)?;
        }
        self.is_closing = true;
        Ok(())
    }

    /// Takes what a caller has sent; whether there may be more.
    fn take_another(&mut self) -> io::Result<bool> {
        let mut buffer = [0; ANOTHER.len()];
        let packet = receive_packet(self.connection.as_fd(), &mut buffer, 1, MsgFlags::empty())?;
        let [way] = &packet.descriptors[..] else {
            return Ok(false);
        };
        if packet.length != ANOTHER.len() || buffer != ANOTHER {
            return Ok(false);
        }
        // Whoever speaks for a process that is gone has to connect themselves.
        if has_ended(self.peer.subject.pidfd.as_fd())? {
            self.close()?;
            return Ok(true);
        }
        if !self.is_theirs(way.as_fd()) {
            return Ok(false);
        }
        let (ours, theirs) = pair()?;
        let (line, keepers_line) = pair()?;
        introduce(line.as_fd(), &self.peer, self.is_authorised)?;
        let flags = MsgFlags::MSG_DONTWAIT;
        if send_packet(way.as_fd(), &ANOTHER, &[theirs.as_fd()], flags).is_err() {
            // It was not waited for.
            return Ok(true);
        }
        match self.account.hand_over(ours.as_fd(), keepers_line.as_fd()) {
            Ok(()) => self.lines.push(line),
            Err(_) => refuse(ours.as_fd(), &Failure::new(RESTARTING)),
        }
        Ok(true)
    }

    /// Whether this is a socket of the caller's own: over another one the word of this process
    /// would be root's.
    fn is_theirs(&self, way: BorrowedFd<'_>) -> bool {
        getsockopt(&way, sockopt::SockType).is_ok_and(|kind| kind == SockType::SeqPacket)
            && peer_ids(way).is_ok_and(|ids| ids.uid == self.peer.ids.uid)
    }
}
