//! A call that is not answered yet: the one place that matches answers with calls.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use zbus::Message;

use super::{Bus, BusError, Incoming, Kind, serial};
use crate::sys::poll::{self, Until, readable};

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
            if Instant::now() >= until {
                return Err(BusError::Transfer(io::ErrorKind::TimedOut.into()));
            }
            poll::first([((), readable(bus.as_fd()))], Until::At(until))
                .map_err(BusError::Transfer)?;
        }
    }
}
