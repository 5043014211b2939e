//! What the keeper, init and the program's process say to each other, and when.
//!
//! All three share one `SOCK_SEQPACKET` pair: the keeper has one end; init and, until its execve, the
//! program's process have the other. Every message is [`SIZE`] bytes.
//!
//! ```text
//! keeper ──▶ init      Begin                     build the sandbox: systemd was asked for the scope, if it is to make one
//! init ──▶ keeper      RootBuilt                 namespaces and root file system are ready
//! keeper ──▶ init      Go [+ the leaf]           make the program's process, in the leaf if there is one
//! keeper ──▶ either    Permitted                 the caller may run it: before Go, or when the process is there; only
//!                                                where that is not known from the beginning
//! program ──▶ keeper   Started + its pidfd       where the keeper needs it
//! program ──▶ keeper   Begun                     limits and ids are set; the clock starts here, and anew
//!                                                each time that a busy file is tried again
//! init ──▶ keeper      Ended                     the program's main process has ended; init kills the rest
//! init ──▶ keeper      Empty                     init is the only process left in the PID namespace
//! keeper ──▶ init      Leave                     every figure was read
//! any ──▶ keeper       Failed                    a step of the set-up did not work; nothing else follows
//! ```
//!
//! Of the two that share an end init alone reads it, but for `Permitted` after `Go`: that the program's process waits
//! for, while init stands still.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use super::step::Step;
use crate::clock::Moment;
use crate::sys::process::{Exit, ResourceUsage};
use crate::sys::socket;

const WORDS: usize = 8;
/// The size of every message.
pub(super) const SIZE: usize = WORDS * 8;

/// A message to the keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToKeeper {
    /// Namespaces and root file system are ready.
    RootBuilt,
    /// The program's process exists; its pidfd comes along.
    Started,
    /// The program's process is about to open its redirections and to become the program: what it has used
    /// so far is not the program's, and the clock starts at this moment.
    Begun(ResourceUsage, Moment),
    /// The program's main process has ended, at this moment.
    Ended(Exit, Moment),
    /// Nothing but init is left; what all processes used that init or their parents waited for.
    Empty(ResourceUsage),
    /// A step failed.
    Failed(StepFailure),
}

/// A step of the set-up that failed, small enough to be sent without allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepFailure {
    /// What was tried.
    pub(crate) step: Step,
    /// On which of several objects: the index of the directory rule, the number of the limit.
    pub(crate) index: u32,
    /// Why it failed.
    pub(crate) errno: i32,
}

impl StepFailure {
    /// The failure of a step that has one object or none: for `map_err`.
    pub(super) fn at<E: Into<io::Error>>(step: Step) -> impl Fn(E) -> Self {
        Self::at_index(step, 0)
    }

    /// The failure of a step on one of several objects.
    pub(super) fn at_index<E: Into<io::Error>>(step: Step, index: usize) -> impl Fn(E) -> Self {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        move |error| Self {
            step,
            index,
            errno: error.into().raw_os_error().unwrap_or(libc::EINVAL),
        }
    }
}

/// A message to init, or to the program's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FromKeeper {
    /// Build the sandbox.
    Begin,
    /// Make the program's process; the leaf's descriptor comes along if there is one.
    Go,
    /// The caller may run the program.
    Permitted,
    /// Exit.
    Leave,
}

type Words = [u64; WORDS];

fn usage_words(tag: u64, usage: &ResourceUsage, last: u64) -> Words {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let ResourceUsage {
        user,
        system,
        max_rss_kib,
        voluntary_switches,
        forced_switches,
    } = *usage;
    [
        tag,
        micros(user),
        micros(system),
        max_rss_kib,
        voluntary_switches,
        forced_switches,
        last,
        0,
    ]
}

fn words_usage(words: &Words) -> ResourceUsage {
    ResourceUsage {
        user: Duration::from_micros(words[1]),
        system: Duration::from_micros(words[2]),
        max_rss_kib: words[3],
        voluntary_switches: words[4],
        forced_switches: words[5],
    }
}

fn number(value: i32) -> u64 {
    u64::from(value as u32)
}

fn as_i32(word: u64) -> Option<i32> {
    u32::try_from(word).ok().map(|word| word as i32)
}

impl ToKeeper {
    fn to_words(self) -> Words {
        match self {
            Self::RootBuilt => [1, 0, 0, 0, 0, 0, 0, 0],
            Self::Started => [7, 0, 0, 0, 0, 0, 0, 0],
            Self::Begun(usage, moment) => usage_words(2, &usage, moment.to_nanoseconds()),
            Self::Ended(Exit::Code(code), moment) => {
                [3, number(code), moment.to_nanoseconds(), 0, 0, 0, 0, 0]
            }
            Self::Ended(Exit::Signal(signal), moment) => {
                [4, number(signal), moment.to_nanoseconds(), 0, 0, 0, 0, 0]
            }
            Self::Empty(usage) => usage_words(5, &usage, 0),
            Self::Failed(StepFailure { step, index, errno }) => {
                [6, step as u64, u64::from(index), number(errno), 0, 0, 0, 0]
            }
        }
    }

    fn from_words(words: &Words) -> Option<Self> {
        Some(match words[0] {
            1 => Self::RootBuilt,
            7 => Self::Started,
            2 => Self::Begun(words_usage(words), Moment::from_nanoseconds(words[6])),
            3 => Self::Ended(
                Exit::Code(as_i32(words[1])?),
                Moment::from_nanoseconds(words[2]),
            ),
            4 => Self::Ended(
                Exit::Signal(as_i32(words[1])?),
                Moment::from_nanoseconds(words[2]),
            ),
            5 => Self::Empty(words_usage(words)),
            6 => Self::Failed(StepFailure {
                step: Step::from_number(words[1])?,
                index: u32::try_from(words[2]).ok()?,
                errno: as_i32(words[3])?,
            }),
            _ => return None,
        })
    }

    /// Sends to the keeper.
    pub(super) fn send(
        self,
        socket: BorrowedFd<'_>,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        send_words(socket, &self.to_words(), descriptor)
    }

    /// Receives at the keeper; `None` when nobody is left on the other side.
    pub(crate) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Self, Option<OwnedFd>)>> {
        receive_words(socket, Self::from_words)
    }
}

impl FromKeeper {
    /// Sends from the keeper.
    pub(crate) fn send(
        self,
        socket: BorrowedFd<'_>,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let tag = match self {
            Self::Go => 1,
            Self::Permitted => 2,
            Self::Leave => 3,
            Self::Begin => 4,
        };
        send_words(socket, &[tag, 0, 0, 0, 0, 0, 0, 0], descriptor)
    }

    /// Receives on the other side; `None` when the keeper is gone.
    pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Self, Option<OwnedFd>)>> {
        receive_words(socket, Self::from_words)
    }

    /// The same for a message without a descriptor. Allocates nothing: the address space of who is about to become the
    /// program may be limited.
    pub(super) fn receive_alone(socket: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        let mut bytes = [0_u8; SIZE];
        let length = socket::receive_alone(socket, &mut bytes)?;
        decode(&bytes[..length], Self::from_words)
    }

    fn from_words(words: &Words) -> Option<Self> {
        match words[0] {
            1 => Some(Self::Go),
            2 => Some(Self::Permitted),
            3 => Some(Self::Leave),
            4 => Some(Self::Begin),
            _ => None,
        }
    }
}

fn send_words(
    socket: BorrowedFd<'_>,
    words: &Words,
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut bytes = [0_u8; SIZE];
    for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    socket::send(socket, &bytes, descriptor)
}

fn receive_words<T>(
    socket: BorrowedFd<'_>,
    from_words: impl Fn(&Words) -> Option<T>,
) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    let mut bytes = [0_u8; SIZE];
    let (length, descriptor) = socket::receive(socket, &mut bytes)?;
    let message = decode(&bytes[..length], from_words)?;
    Ok(message.map(|message| (message, descriptor)))
}

/// `None` for no bytes: nobody is left on the other side.
fn decode<T>(bytes: &[u8], from_words: impl Fn(&Words) -> Option<T>) -> io::Result<Option<T>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut words: Words = [0; WORDS];
    for (word, from) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = from.try_into().map_or(0, u64::from_ne_bytes);
    }
    let message = (bytes.len() == SIZE).then(|| from_words(&words)).flatten();
    message
        .map(Some)
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EBADMSG))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn every_message_arrives_as_it_was_sent() {
        let (keeper, init) = socket::pair().unwrap();
        let usage = ResourceUsage {
            user: Duration::from_micros(1),
            system: Duration::from_secs(1 << 40),
            max_rss_kib: u64::MAX,
            voluntary_switches: 3,
            forced_switches: 4,
        };
        let failure = StepFailure {
            step: Step::Execute,
            index: 7,
            errno: -1,
        };
        for message in [
            ToKeeper::RootBuilt,
            ToKeeper::Started,
            ToKeeper::Begun(usage, Moment::from_nanoseconds(u64::MAX)),
            ToKeeper::Ended(Exit::Code(255), Moment::from_nanoseconds(7)),
            ToKeeper::Ended(Exit::Signal(9), Moment::from_nanoseconds(8)),
            ToKeeper::Empty(usage),
            ToKeeper::Failed(failure),
        ] {
            message.send(init.as_fd(), None).unwrap();
            assert_eq!(
                ToKeeper::receive(keeper.as_fd()).unwrap().unwrap().0,
                message
            );
        }
        for message in [
            FromKeeper::Begin,
            FromKeeper::Go,
            FromKeeper::Permitted,
            FromKeeper::Leave,
        ] {
            message.send(keeper.as_fd(), Some(keeper.as_fd())).unwrap();
            let (received, descriptor) = FromKeeper::receive(init.as_fd()).unwrap().unwrap();
            assert_eq!(received, message);
            assert!(descriptor.is_some());
            message.send(keeper.as_fd(), None).unwrap();
            let alone = FromKeeper::receive_alone(init.as_fd()).unwrap();
            assert_eq!(alone, Some(message));
        }
    }

    #[test]
    fn garbage_is_an_error_and_a_closed_socket_is_the_end() {
        let (keeper, init) = socket::pair().unwrap();
        for bytes in [&[0_u8; SIZE][..], &[0xff; SIZE], &[1], &[7; 2 * SIZE]] {
            socket::send(init.as_fd(), bytes, None).unwrap();
            assert!(ToKeeper::receive(keeper.as_fd()).is_err());
        }
        drop(init);
        assert_eq!(
            ToKeeper::receive(keeper.as_fd())
                .unwrap()
                .map(|(message, _)| message),
            None
        );
    }
}
