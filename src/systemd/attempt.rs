//! The attempts to have a scope made, and what follows a failed one.

use std::time::Duration;

use super::unit::{ENTRY_PATIENCE, Start};
use super::{EARLY_LOOK, LOOK, ScopeError};
use crate::bus::{BusError, Carries};
use crate::clock::Timer;
use crate::error::chain;

/// How often a request whose outcome is unknown is made, with a new name each time.
const ATTEMPTS: usize = 8;

/// The first pause between two attempts; each further one is twice as long. A bus or a systemd that
/// is being restarted is back within a second or two.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// One attempt to have a scope made.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The unit was asked for.
    Asked(Box<Start>),
    /// It will be asked for again, after a pause and over such a line, unless this unit comes to be
    /// nevertheless.
    Paused(String, Line),
}

/// How systemd is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// By the bus.
    Bus(Carries),
    /// At its own socket, or by the bus if that does not work.
    Directly,
}

impl Attempt {
    /// Follows the beginning of an attempt or its failure: with another one after a pause, or with
    /// the end.
    pub(super) fn follow(
        begun: Result<Start, BusError>,
        unit: String,
        attempts: usize,
        timer: &Timer,
    ) -> Result<Self, ScopeError> {
        let error = match begun {
            Ok(start) => {
                let patience = match start.is_passed_on() {
                    true => LOOK,
                    false => ENTRY_PATIENCE,
                };
                timer.set_after(patience).map_err(ScopeError::Timer)?;
                return Ok(Self::Asked(Box::new(start)));
            }
            Err(error) => error,
        };
        if !error.is_transient() || attempts >= ATTEMPTS {
            let source = error;
            return Err(ScopeError::Bus { unit, source });
        }
        log::info!("asking systemd for the scope again: {}", chain(&error));
        let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings));
        let (pause, line) = match &error {
            // Nothing was restarted if there was only a stranger's descriptor.
            BusError::Descriptors => (EARLY_LOOK, Line::Bus(Carries::Bytes)),
            // systemd itself has waited for the bus in vain.
            error if error.is_named(BusError::TIMEOUT) => (pause, Line::Directly),
            _ => (pause, Line::Bus(Carries::Descriptors)),
        };
        timer.set_after(pause).map_err(ScopeError::Timer)?;
        Ok(Self::Paused(unit, line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_that_is_unknown_is_tried_again_and_not_for_ever() {
        let unit = || "isolate-1-0.scope".to_owned();
        let timer = Timer::new().unwrap();
        for attempts in 1..ATTEMPTS {
            let after = Attempt::follow(Err(BusError::Disconnected), unit(), attempts, &timer);
            let Ok(Attempt::Paused(asked, Line::Bus(Carries::Descriptors))) = after else {
                panic!("{after:?}")
            };
            assert_eq!(asked, unit());
        }
        let after = Attempt::follow(Err(BusError::Descriptors), unit(), 1, &timer);
        let bytes_only = matches!(after, Ok(Attempt::Paused(_, Line::Bus(Carries::Bytes))));
        assert!(bytes_only, "{after:?}");
        let bus_hung = BusError::Refused {
            by: "systemd",
            name: BusError::TIMEOUT.into(),
            text: "Connection timed out".into(),
        };
        let after = Attempt::follow(Err(bus_hung), unit(), 1, &timer);
        let directly = matches!(after, Ok(Attempt::Paused(_, Line::Directly)));
        assert!(directly, "{after:?}");
        let after = Attempt::follow(Err(BusError::Disconnected), unit(), ATTEMPTS, &timer);
        assert!(matches!(after, Err(ScopeError::Bus { .. })), "{after:?}");
        let refused = BusError::Job("failed".into());
        assert!(Attempt::follow(Err(refused), unit(), 1, &timer).is_err());
    }
}
