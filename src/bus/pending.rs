//! A call that is not answered yet: the one place that matches answers with calls.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use zbus::Message;

use super::{Bus, BusError, Incoming, Kind, serial};

/// The call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pending {
    serial: u32,
    /// The name of who was asked, as people know it.
    by: &'static str,
}

impl Pending {
    /// Calls somebody whom people know by this name: `systemd`.
    pub(crate) fn send(bus: &mut Bus, call: Message, by: &'static str) -> Result<Self, BusError> {
        let serial = serial(&call);
        bus.send(call)?;
        Ok(Self { serial, by })
    }

    /// The number of the call, which no other call over the connection has.
    pub(crate) fn serial(self) -> u32 {
        self.serial
    }

    /// Whether a message answers the call; then `Ok` if the answer is its body, and otherwise the
    /// error.
    pub(crate) fn is_answered_by(self, message: &Incoming) -> Option<Result<(), BusError>> {
        if message.answers != Some(self.serial) {
            return None;
        }
        match message.kind {
            Kind::Return => Some(Ok(())),
            Kind::Error => Some(Err(BusError::refusal(self.by, message))),
            Kind::Signal | Kind::Other => None,
        }
    }

    /// The answer; `None` when it has not come yet.
    pub(crate) fn take(self, bus: &mut Bus) -> Result<Option<Incoming>, BusError> {
        while let Some(message) = bus.receive()? {
            if let Some(answer) = self.is_answered_by(&message) {
                return answer.map(|()| Some(message));
            }
        }
        Ok(None)
    }

    /// Waits for the answer until this moment, however many other messages come.
    pub(crate) fn wait(self, bus: &mut Bus, until: Instant) -> Result<Incoming, BusError> {
        loop {
            if let Some(answer) = self.take(bus)? {
                return Ok(answer);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(BusError::Transfer(io::ErrorKind::TimedOut.into()));
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(bus.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(BusError::Transfer(errno.into())),
            }
        }
    }
}
