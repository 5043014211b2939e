//! What a keeper tells the pool's own process: how long its request is, what its user asks for, and
//! that this is authorised. The pool answers the first two.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::socket::MsgFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::ceilings::Ceilings;
use crate::failure::{Failure, Kind};
use crate::plan::ceilings::Amounts;
use crate::sys::socket::{receive_packet, send_packet};

/// The longest message.
const LONGEST: usize = 4096;

/// How many bytes a request may have that is received without asking.
pub(super) const SHORT: usize = 64 << 10;

/// What a keeper says. Each kind comes at most once and in this order, except that the second may
/// come after the third.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Told {
    /// Whether a request of this length may be received.
    Long(usize),
    /// Its user may do what was asked for.
    Authorised,
    /// Whether this may be taken.
    Question(Box<Question>),
}

/// What a request takes, and the ceilings as they are configured now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Question {
    /// What it takes.
    pub(super) amounts: Amounts,
    /// What may be taken.
    pub(super) ceilings: Ceilings,
}

/// Whether it is given, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer(pub(super) Result<(), String>);

/// At the pool: lets a new keeper begin. By now nobody else has the descriptors that it was handed.
pub(super) fn begin(account: BorrowedFd<'_>) -> io::Result<()> {
    send_packet(account, &[0], &[], MsgFlags::empty())
}

impl Told {
    /// At the pool: what was said; `None` when the keeper has ended, or sent what cannot be
    /// understood.
    pub(super) fn receive(account: BorrowedFd<'_>) -> Option<Self> {
        receive(account, MsgFlags::MSG_DONTWAIT).ok()?
    }

    /// At the pool: whether the keeper has said something other than how long its request is.
    pub(super) fn lies_ready(account: BorrowedFd<'_>) -> bool {
        let look = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
        receive::<Self>(account, look).is_ok_and(|told| !matches!(told, None | Some(Self::Long(_))))
    }
}

impl Answer {
    /// Answers. A channel has room for the two answers that there may be.
    pub(super) fn send(&self, account: BorrowedFd<'_>) -> io::Result<()> {
        send(account, self)
    }
}

/// The keeper's side. The pool takes back what was granted when the keeper has ended.
#[derive(Debug)]
pub(crate) struct Account(OwnedFd);

impl Account {
    /// The account over this channel; waits until the broker lets this keeper begin.
    pub(crate) fn new(channel: OwnedFd) -> io::Result<Self> {
        let mut nothing = [0];
        // A broker that has ended in the meantime has no descriptors, either.
        receive_packet(channel.as_fd(), &mut nothing, 0, MsgFlags::empty())?;
        Ok(Self(channel))
    }

    /// The channel, to be moved to another number.
    pub(crate) fn channel(&mut self) -> &mut OwnedFd {
        &mut self.0
    }

    /// Asks whether a request of this length may be received, and waits for the answer.
    pub(crate) fn ask_length(&self, length: usize) -> Result<(), Failure> {
        if length <= SHORT {
            return Ok(());
        }
        send(self.0.as_fd(), &Told::Long(length)).map_err(|_| gone())?;
        self.wait()
    }

    /// What tells that the request is authorised, when it is called.
    pub(crate) fn authorised(&self) -> io::Result<impl FnOnce() + use<>> {
        let channel = self.0.try_clone()?;
        // A broker that has ended need not know.
        Ok(move || drop(send(channel.as_fd(), &Told::Authorised)))
    }

    /// Asks for what the request takes, once.
    pub(crate) fn ask(&self, amounts: Amounts, ceilings: Ceilings) -> Result<(), Failure> {
        let question = Question { amounts, ceilings };
        send(self.0.as_fd(), &Told::Question(Box::new(question))).map_err(|_| gone())
    }

    /// Waits for the answer.
    pub(crate) fn wait(&self) -> Result<(), Failure> {
        let answer: Option<Answer> = receive(self.0.as_fd(), MsgFlags::empty())
            .map_err(Failure::at("cannot ask the broker's own process"))?;
        let refused = |text| Failure::new(text).of_kind(Kind::Ceiling);
        answer.ok_or_else(gone)?.0.map_err(refused)
    }
}

fn gone() -> Failure {
    Failure::new("isolate.service is being restarted: give the command again in a moment")
}

fn send(socket: BorrowedFd<'_>, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    send_packet(socket, &bytes, &[], MsgFlags::empty())
}

fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>, flags: MsgFlags) -> io::Result<Option<T>> {
    let mut buffer = [0; LONGEST];
    let packet = receive_packet(socket, &mut buffer, 0, flags)?;
    if packet.length == 0 {
        return Ok(None);
    }
    let message = postcard::from_bytes(&buffer[..packet.length]).map_err(io::Error::other)?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::box_set::BoxSet;
    use crate::sys::socket::pair;

    #[test]
    fn a_question_is_understood_however_long_the_list_of_box_numbers_is() {
        let numbers: Vec<_> = (0..10_000).map(|id| (2 * id).to_string()).collect();
        let ceilings = Ceilings {
            box_ids: BoxSet::parse(&numbers.join(",")),
            ..Ceilings::default()
        };
        assert!(ceilings.box_ids.is_some());
        let (ours, theirs) = pair().unwrap();
        let account = Account(ours);
        account.ask(Amounts::default(), ceilings.clone()).unwrap();
        assert!(Told::lies_ready(theirs.as_fd()));
        let Some(Told::Question(question)) = Told::receive(theirs.as_fd()) else {
            panic!("no question");
        };
        assert_eq!(question.ceilings.user, ceilings.user);
        assert!(!Told::lies_ready(theirs.as_fd()));
    }
}
