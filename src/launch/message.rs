//! What the keeper, init and the program's process say to each other, and when.
//!
//! All three share one `SOCK_SEQPACKET` pair: the keeper has one end; init and, until its execve,
//! the program's process have the other. Messages are encoded by postcard, in fewer than [`SIZE`]
//! bytes.
//!
//! ```text
//! keeper ──▶ init      Begin            build the sandbox: systemd was asked for the scope, if it
//!                                       is to make one
//! keeper ──▶ init      Go [+ the leaf]  make the program's process, in the leaf if there is one
//! keeper ──▶ either    Permitted        the caller may run it: before Go, or when the process is
//!                                       there; only where that is not known from the beginning
//! program ──▶ keeper   Started          with its pidfd where the keeper needs it
//! program ──▶ keeper   Begun            limits and ids are set; the clock starts here, and anew
//!                                       each time that a busy file is tried again
//! init ──▶ keeper      NotBegun         the process ended before it was the program
//! init ──▶ keeper      Ended            the program's main process has ended; init kills the rest
//! init ──▶ keeper      Empty            init is the only process left in the PID namespace
//! keeper ──▶ init      Leave            every figure was read
//! any ──▶ keeper       Failed           a step of the set-up did not work; nothing else follows
//! ```
//!
//! init alone reads the shared end, except for `Permitted` after `Go`: the program's process waits
//! for that while init stands still.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::step::Step;
use crate::clock::Moment;
use crate::report::Obstacle;
use crate::sys::process::{Exit, ResourceUsage};
use crate::sys::socket;

/// More than the longest message has, which is [`ToKeeper::NotBegun`]: a buffer that is full holds
/// something else.
const SIZE: usize = 1024;

/// A message to the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToKeeper {
    /// The program's process exists; its pidfd comes along.
    Started,
    /// The program's process is about to open its redirections and to become the program.
    Begun {
        /// Its usage so far, which is not the program's.
        used: ResourceUsage,
        /// When the clock starts.
        moment: Moment,
        /// When the root file system was ready. init does not say so by itself: to wake the keeper
        /// for it would take time from the run.
        root_built: Option<Moment>,
    },
    /// The process that has begun or ended was never the program. This comes before `Ended`.
    NotBegun(Obstacle),
    /// The program's main process has ended, at this moment.
    Ended(Exit, Moment),
    /// Nothing but init is left; what all processes used that init or their parents waited for.
    Empty(ResourceUsage),
    /// A step failed.
    Failed(StepFailure),
}

/// A step of the set-up that failed, small enough to be sent without allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

impl ToKeeper {
    /// Sends to the keeper.
    pub(super) fn send(
        self,
        socket: BorrowedFd<'_>,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        send(socket, &self, descriptor)
    }

    /// Receives at the keeper; `None` when nobody is left on the other side.
    pub(crate) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Self, Option<OwnedFd>)>> {
        receive(socket)
    }
}

impl FromKeeper {
    /// Sends from the keeper.
    pub(crate) fn send(
        self,
        socket: BorrowedFd<'_>,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        send(socket, &self, descriptor)
    }

    /// Receives on the other side; `None` when the keeper is gone.
    pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Self, Option<OwnedFd>)>> {
        receive(socket)
    }

    /// Receives a message that has no descriptor; `None` when the keeper is gone. Allocates
    /// nothing: the address space of the process that is about to become the program may be
    /// limited.
    pub(super) fn receive_alone(socket: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        let mut bytes = [0_u8; SIZE];
        let length = socket::receive_alone(socket, &mut bytes)?;
        decode(&bytes[..length])
    }
}

/// Encodes on the stack and sends: the program's process shares the memory of init, and must not
/// allocate in it.
fn send(
    socket: BorrowedFd<'_>,
    message: &impl Serialize,
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut bytes = [0_u8; SIZE];
    let encoded = postcard::to_slice(message, &mut bytes).map_err(|_| malformed())?;
    socket::send(socket, encoded, descriptor)
}

fn receive<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    let mut bytes = [0_u8; SIZE];
    let (length, descriptor) = socket::receive(socket, &mut bytes)?;
    let message = decode(&bytes[..length])?;
    Ok(message.map(|message| (message, descriptor)))
}

/// `None` for no bytes: nobody is left on the other side.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<Option<T>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(Some(message)),
        _ => Err(malformed()),
    }
}

fn malformed() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADMSG)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;
    use crate::report::{Found, Text};

    #[test]
    fn every_message_arrives_as_it_was_sent() {
        let (keeper, init) = socket::pair().unwrap();
        let usage = ResourceUsage {
            user: Duration::new(u64::MAX, 999_999_999),
            system: Duration::new(u64::MAX, 999_999_998),
            max_rss_kib: u64::MAX,
            voluntary_switches: u64::MAX,
            forced_switches: u64::MAX,
        };
        let latest = Moment::default().after(Duration::MAX);
        let longest = Text::of(std::path::Path::new(&"ä".repeat(500)));
        let failure = StepFailure {
            step: Step::Execute,
            index: 7,
            errno: -1,
        };
        for message in [
            ToKeeper::Started,
            ToKeeper::Begun {
                used: usage,
                moment: latest,
                root_built: Some(latest),
            },
            ToKeeper::Ended(Exit::Code(255), Moment::default()),
            ToKeeper::Ended(Exit::Signal(9), latest),
            ToKeeper::Empty(usage),
            ToKeeper::NotBegun(Obstacle::Execution {
                errno: libc::ENOENT,
                found: Found::Missing {
                    path: longest.clone(),
                    missing: longest.clone(),
                    link: Some((longest.clone(), longest)),
                },
            }),
            ToKeeper::Failed(failure),
        ] {
            message.clone().send(init.as_fd(), None).unwrap();
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
        for bytes in [
            &[0_u8; SIZE][..],
            &[0xff; SIZE],
            &[2],
            &[0, 0],
            &[7; 2 * SIZE],
        ] {
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
