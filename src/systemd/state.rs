//! One question to systemd: is it stopping this unit?

use std::os::fd::{AsFd, BorrowedFd};

use zbus::Message;
use zbus::zvariant::{OwnedValue, Value};

use super::line;
use super::unit::property;
use crate::bus::{Bus, BusError, Pending};

/// The question, until it is answered. systemd answers when it has finished its work on the unit:
/// if it is killing the processes of the unit one by one, after the last of them.
#[derive(Debug)]
pub(crate) struct StateRequest {
    bus: Bus,
    call: Pending,
}

impl StateRequest {
    /// Asks.
    pub(crate) fn start(unit: &str) -> Result<Self, BusError> {
        let mut bus = line::undisturbed()?;
        let call = Pending::send(&mut bus, get_active_state(&object_path(unit))?, "systemd")?;
        Ok(Self { bus, call })
    }

    /// Readable when [`Self::proceed`] has something to do.
    pub(crate) fn ready(&self) -> BorrowedFd<'_> {
        self.bus.as_fd()
    }

    /// Whether systemd is stopping the unit; `None` when there is no answer yet.
    pub(crate) fn proceed(&mut self) -> Result<Option<bool>, BusError> {
        match self.call.take(&mut self.bus) {
            Ok(None) => Ok(None),
            Ok(Some(answer)) => {
                let state: OwnedValue = answer.body()?;
                Ok(Some(*state == Value::from("deactivating")))
            }
            // systemd does not know the unit.
            Err(BusError::Refused { .. }) => Ok(Some(false)),
            Err(error) => Err(error),
        }
    }
}

/// Asks for the state of a unit's object.
pub(super) fn get_active_state(path: &str) -> zbus::Result<Message> {
    property(path, "org.freedesktop.systemd1.Unit", "ActiveState")
}

/// The object of a unit. Any character but letters and digits becomes `_` and two hexadecimal
/// digits (sd_bus_path_encode(3)).
pub(super) fn object_path(unit: &str) -> String {
    let label: String = unit
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("_{byte:02x}"),
        })
        .collect();
    format!("/org/freedesktop/systemd1/unit/{label}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_of_a_unit_has_its_name_encoded() {
        assert_eq!(
            object_path("isolate-3-0a.scope"),
            "/org/freedesktop/systemd1/unit/isolate_2d3_2d0a_2escope"
        );
        assert!(get_active_state(&object_path("isolate-3-0a.scope")).is_ok());
    }
}
