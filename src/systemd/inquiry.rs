//! What systemd knows of scopes in which nobody is, and their end.

use std::time::{Duration, Instant};

use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

use super::state::get_active_state;
use super::unit::{of_manager, stop_unit};
use crate::bus::{Bus, BusError, Incoming, Pending};

/// How long all answers may take together. systemd gives none while it reads its files anew.
const PATIENCE: Duration = Duration::from_secs(10);

/// A line to systemd for several questions. It answers one when it has taken in what the kernel had
/// told it of control groups before.
#[derive(Debug)]
pub(crate) struct Inquiry {
    bus: Bus,
    until: Instant,
}

impl Inquiry {
    /// Opens the line.
    pub(crate) fn start() -> Result<Self, BusError> {
        Ok(Self {
            bus: super::line::undisturbed()?,
            until: Instant::now() + PATIENCE,
        })
    }

    /// Whether a unit is active; `None` if systemd has none of this name.
    pub(crate) fn is_active(&mut self, unit: &str) -> Result<Option<bool>, BusError> {
        // Any other question about a unit makes one of this name.
        let path: OwnedObjectPath = match self.ask(of_manager("GetUnit", &unit)) {
            Ok(answer) => answer.body()?,
            Err(error) if error.is_named(NO_SUCH_UNIT) => return Ok(None),
            Err(error) => return Err(error),
        };
        let state: OwnedValue = self.ask(get_active_state(&path))?.body()?;
        Ok(Some(*state == Value::from("active")))
    }

    /// Has a unit stopped.
    pub(crate) fn stop(&mut self, unit: &str) -> Result<(), BusError> {
        self.ask(stop_unit(unit)).map(drop)
    }

    fn ask(&mut self, call: zbus::Result<zbus::Message>) -> Result<Incoming, BusError> {
        let pending = Pending::send(&mut self.bus, call?, "systemd")?;
        pending.wait(&mut self.bus, self.until)
    }
}

const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
