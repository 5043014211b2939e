//! A call that somebody else carries out while this process does other things.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::Put;
use crate::answer::{Answer, Results};
use crate::broker::reply::Reply;
use crate::broker::wire::receive_reply;
use crate::caller::Line;
use crate::failure::Failure;
use crate::output::write_all;
use crate::pool::RESTARTING;

/// A call under way.
#[derive(Debug)]
pub(crate) struct Errand {
    connection: OwnedFd,
}

/// What came of a call.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It was carried out.
    Done(Answer, Results),
    /// It was refused or did not work.
    Failed(String),
    /// Whoever carried it out is gone, without a word.
    Lost,
    /// It was not carried out: the broker is being restarted.
    Unbegun,
}

impl Errand {
    /// Puts a call over a connection.
    pub(crate) fn begin(connection: OwnedFd, put: Put<'_>) -> Result<Self, Failure> {
        put.over(connection.as_fd())?;
        Ok(Self { connection })
    }

    /// Readable when there is something to hear.
    pub(crate) fn ready(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }

    /// Hears what there is, and waits if there is nothing yet. `None`: this was not the last word.
    pub(crate) fn hear(&self) -> Option<Heard> {
        Some(match receive_reply(self.connection.as_fd()) {
            Ok(Some(Reply::Log(line))) => {
                // A message that cannot be written cannot be reported either.
                drop(write_all(io::stderr(), line.as_bytes()));
                return None;
            }
            Ok(Some(Reply::Done(answer, results))) => Heard::Done(answer, results),
            Ok(Some(Reply::Failed(message))) if message == RESTARTING => Heard::Unbegun,
            Ok(Some(Reply::Failed(message))) => Heard::Failed(message),
            Ok(None | Some(Reply::Part(_))) | Err(_) => Heard::Lost,
        })
    }

    /// Sends a signal. If the other side is gone, [`Self::hear`] notices.
    pub(crate) fn signal(&self, number: i32) {
        Line::send(self.connection.as_fd(), number).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::wire::send_reply;
    use crate::sys::socket::pair;

    #[test]
    fn what_was_not_begun_is_told_apart_from_what_was_lost_and_what_was_refused() {
        let hear = |text: Option<&str>| {
            let (connection, theirs) = pair().unwrap();
            if let Some(text) = text {
                send_reply(theirs.as_fd(), &Reply::Failed(text.into())).unwrap();
            }
            drop(theirs);
            Errand { connection }.hear()
        };
        assert!(matches!(hear(Some(RESTARTING)), Some(Heard::Unbegun)));
        assert!(matches!(hear(Some("no box")), Some(Heard::Failed(_))));
        assert!(matches!(hear(None), Some(Heard::Lost)));
    }
}
