//! What a keeper tells the pool's own process: how long its request is, what its user asks for,
//! that this is authorised, and that its user has another request, which it hands over. The pool
//! answers the first two.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::socket::MsgFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::ceilings::Ceilings;
use crate::failure::{Failure, Kind};
use crate::plan::ceilings::Amounts;
use crate::sys::packet::{receive_packet, send_packet};

/// The longest message.
const LONGEST: usize = 4096;

/// What a caller is told whose request has no pool any more: it is worth another try.
pub(crate) const RESTARTING: &str =
    "isolate.service is being restarted: give the command again in a moment";

/// How many bytes a request may have that is received without asking.
pub(super) const SHORT: usize = 64 << 10;

/// What a keeper says. Each kind comes at most once and in this order, except that the second may
/// come after the third, and that of whoever hands requests over the last one comes often.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Told {
    /// Whether a request of this length may be received.
    Long(usize),
    /// Its user may do what was asked for. The front is to remember this of it.
    Authorised(Vec<u8>),
    /// Whether this may be taken.
    Question(Box<Question>),
    /// Another request of its user's; its descriptors come beside this.
    Another,
}

/// How many descriptors come beside [`Told::Another`].
const OF_ANOTHER: usize = 2;

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
    /// At the pool: what was said, with the descriptors of a request; `None` when the keeper has
    /// ended, or sent what cannot be understood.
    pub(super) fn receive(account: BorrowedFd<'_>) -> Option<(Self, Vec<OwnedFd>)> {
        let mut buffer = [0; LONGEST];
        let flags = MsgFlags::MSG_DONTWAIT;
        let packet = receive_packet(account, &mut buffer, OF_ANOTHER, flags).ok()?;
        let told = read(&buffer[..packet.length]).ok()??;
        Some((told, packet.descriptors))
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

    /// Readable when the pool is gone: it says nothing that was not asked for.
    pub(crate) fn gone(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Hands over another request of the same user: what its keeper is handed, and what comes
    /// beside that.
    pub(crate) fn hand_over(
        &self,
        channel: BorrowedFd<'_>,
        beside: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let bytes = postcard::to_stdvec(&Told::Another).map_err(io::Error::other)?;
        let flags = MsgFlags::empty();
        send_packet(self.0.as_fd(), &bytes, &[channel, beside], flags)
    }

    /// Asks whether a request of this length may be received, and waits for the answer.
    pub(crate) fn ask_length(&self, length: usize) -> Result<(), Failure> {
        if length <= SHORT {
            return Ok(());
        }
        send(self.0.as_fd(), &Told::Long(length)).map_err(|_| gone())?;
        self.wait()
    }

    /// What tells that the request is authorised, when it is called with what the front is to
    /// remember of that.
    pub(crate) fn authorised(&self) -> io::Result<impl FnOnce(Vec<u8>) + use<>> {
        let channel = self.0.try_clone()?;
        // A broker that has ended need not know.
        Ok(move |note| drop(send(channel.as_fd(), &Told::Authorised(note))))
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
    Failure::new(RESTARTING)
}

fn send(socket: BorrowedFd<'_>, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    send_packet(socket, &bytes, &[], MsgFlags::empty())
}

fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>, flags: MsgFlags) -> io::Result<Option<T>> {
    let mut buffer = [0; LONGEST];
    let packet = receive_packet(socket, &mut buffer, 0, flags)?;
    read(&buffer[..packet.length])
}

/// Reads a message; `None` when the other side is gone.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<Option<T>> {
    match bytes {
        [] => Ok(None),
        bytes => postcard::from_bytes(bytes)
            .map(Some)
            .map_err(io::Error::other),
    }
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
        let Some((Told::Question(question), _)) = Told::receive(theirs.as_fd()) else {
            panic!("no question");
        };
        assert_eq!(question.ceilings.user, ceilings.user);
        assert!(!Told::lies_ready(theirs.as_fd()));
    }

    #[test]
    fn another_request_arrives_with_its_descriptors() {
        let (ours, theirs) = pair().unwrap();
        let (channel, beside) = pair().unwrap();
        let account = Account(ours);
        account.hand_over(channel.as_fd(), beside.as_fd()).unwrap();
        let (told, descriptors) = Told::receive(theirs.as_fd()).unwrap();
        assert!(matches!(told, Told::Another));
        assert_eq!(descriptors.len(), OF_ANOTHER);
    }
}
