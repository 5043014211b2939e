//! StartTransientUnit: the call, its properties, and the job whose end is awaited.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use zbus::Message;
use zbus::zvariant::{Fd, OwnedObjectPath, Type, Value};

use super::{Held, ScopeSpec};
use crate::bus::{Bus, BusError, Carries, Incoming, Kind, Pending, call_of_the_bus};

pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
pub(super) const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const JOB_REMOVED: &str = "JobRemoved";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

/// How long the bus may take to let us in. Anybody can hang it for as long as they like, by a
/// descriptor that lingers in a message to nobody; then systemd is asked directly.
pub(super) const ENTRY_PATIENCE: Duration = Duration::from_millis(100);
/// How long it may take to pass a call on after that: it may only be slow, and then both would be
/// done.
const CALL_PATIENCE: Duration = Duration::from_secs(1);

/// What systemd has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing that matters yet.
    None,
    /// It will start the unit next.
    Queued,
    /// The unit has been started.
    Started,
}

/// A unit that was asked for and is not there yet.
#[derive(Debug)]
pub(super) struct Start {
    bus: Bus,
    unit: String,
    /// A bus has to be told which signals to pass on. `None` when it has answered, or there is
    /// none.
    add_match: Option<Pending>,
    call: Pending,
    /// systemd's unique name and its job, once they are known.
    queued: Option<(String, OwnedObjectPath)>,
    /// Optional properties that are left out.
    left_out: Vec<&'static str>,
    /// When this was begun.
    begun: Instant,
    /// The same was asked for over another line, and may come to be by that.
    may_be_there: bool,
}

impl Start {
    /// Asks for the unit. The match and the call are sent together, the match first: the bus keeps
    /// their order, so the signal cannot be missed.
    pub(super) fn begin(
        mut bus: Bus,
        unit: String,
        spec: &ScopeSpec,
        held: Held<'_>,
    ) -> Result<Self, BusError> {
        let left_out = match bus.carries() {
            Carries::Descriptors => Vec::new(),
            // The process is a child of ours that nobody has reaped, so no other process has its
            // number.
            Carries::Bytes => vec![PIDFDS],
        };
        let call = start_unit(&unit, properties(spec, held, &left_out))?;
        let add_match = match bus.is_direct() {
            true => None,
            false => {
                let add_match = match_job_of(&unit)?;
                Some(Pending::send(&mut bus, add_match, "the system bus")?)
            }
        };
        let call = Pending::send(&mut bus, call, "systemd")?;
        bus.flush()?;
        Ok(Self {
            bus,
            unit,
            add_match,
            call,
            queued: None,
            left_out,
            begun: Instant::now(),
            may_be_there: false,
        })
    }

    /// Asks for the same over another line, since this one does not pass it on. The bus may do so
    /// later: then we have left it, and systemd refuses a call of nobody's.
    pub(super) fn again(
        &self,
        bus: Bus,
        spec: &ScopeSpec,
        held: Held<'_>,
    ) -> Result<Self, BusError> {
        let new = Self::begin(bus, self.unit.clone(), spec, held)?;
        Ok(Self {
            may_be_there: self.bus.has_sent(),
            ..new
        })
    }

    /// The connection: readable when [`Self::proceed`] has something to do.
    pub(super) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Whether the call has come to systemd: the bus keeps the order, and answers before it passes
    /// the call on.
    pub(super) fn is_passed_on(&self) -> bool {
        self.add_match.is_none()
    }

    /// Whether the bus was waited for long enough.
    pub(super) fn is_overdue(&self) -> bool {
        let patience = match self.bus.has_sent() {
            true => CALL_PATIENCE,
            false => ENTRY_PATIENCE,
        };
        self.begun.elapsed() >= patience
    }

    /// The unit's name.
    pub(super) fn unit(&self) -> &str {
        &self.unit
    }

    /// Takes in what has come.
    pub(super) fn proceed(&mut self, spec: &ScopeSpec, held: Held<'_>) -> Result<Answer, BusError> {
        let mut answer = Answer::None;
        while let Some(message) = self.bus.receive()? {
            let matched = self
                .add_match
                .and_then(|call| call.is_answered_by(&message));
            if let Some(matched) = matched {
                matched?;
                self.add_match = None;
            }
            match self.call.is_answered_by(&message) {
                Some(Ok(())) => {
                    log::debug!("systemd has queued the start of {}", self.unit);
                    self.queued = Some((message.sender.clone(), message.body()?));
                    answer = Answer::Queued;
                }
                Some(Err(refused)) if self.may_be_there && refused.is_named(UNIT_EXISTS) => {
                    log::debug!("systemd was asked for {} by the bus", self.unit);
                    answer = Answer::Queued;
                }
                Some(Err(refused)) => {
                    let property = unknown_property(&refused);
                    match property.filter(|name| !self.left_out.contains(name)) {
                        Some(name) => self.left_out.push(name),
                        None => return Err(refused),
                    }
                    let call = start_unit(&self.unit, properties(spec, held, &self.left_out))?;
                    self.call = Pending::send(&mut self.bus, call, "systemd")?;
                }
                None if message.kind == Kind::Signal && self.reports_our_job(&message)? => {
                    return Ok(Answer::Started);
                }
                None => {}
            }
        }
        Ok(answer)
    }

    /// Whether systemd has refused the last request. Nobody asks again.
    pub(super) fn is_refused(&mut self) -> Result<bool, BusError> {
        while let Some(message) = self.bus.receive()? {
            if let Some(Err(_)) = self.call.is_answered_by(&message) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Has the unit stopped, whatever has become of it. This waits for the answer, but not for the
    /// end: systemd asks the bus who we are, and the bus forgets whoever has gone.
    pub(super) fn take_back(&mut self, until: Instant) -> Result<(), BusError> {
        let stopped = Pending::send(&mut self.bus, stop_unit(&self.unit)?, "systemd")?;
        stopped.wait(&mut self.bus, until).map(drop)
    }

    /// Whether a signal says that our job has ended well. It must come from the systemd that took
    /// the job: anybody may send us a signal of this name.
    fn reports_our_job(&self, signal: &Incoming) -> Result<bool, BusError> {
        let Some((systemd, job)) = &self.queued else {
            return Ok(false);
        };
        if signal.member != JOB_REMOVED || signal.sender != *systemd {
            return Ok(false);
        }
        let (_, removed, _, result): (u32, OwnedObjectPath, String, String) = signal.body()?;
        match (removed == *job, &*result) {
            (true, "done") => Ok(true),
            (true, _) => Err(BusError::Job(result)),
            (false, _) => Ok(false),
        }
    }
}

/// Builds the messages of [`Start::begin`].
pub(super) fn rehearse(unit: &str, spec: &ScopeSpec) {
    let stdin = std::io::stdin();
    let held = Held {
        pid: 0,
        pidfd: stdin.as_fd(),
    };
    drop(match_job_of(unit));
    drop(start_unit(unit, properties(spec, held, &[])));
}

/// Matches JobRemoved for jobs of this unit only. The bus daemon compares arg2, so that the jobs of
/// other units do not wake us.
fn match_job_of(unit: &str) -> zbus::Result<Message> {
    let rule = format!(
        "type='signal',sender='{SYSTEMD}',path='{MANAGER_PATH}',interface='{MANAGER}',\
         member='{JOB_REMOVED}',arg2='{unit}'"
    );
    call_of_the_bus("AddMatch", &rule)
}

fn start_unit(unit: &str, properties: Vec<(&str, Value<'_>)>) -> zbus::Result<Message> {
    let auxiliary: Vec<(&str, Vec<(&str, Value<'_>)>)> = Vec::new();
    of_manager("StartTransientUnit", &(unit, "fail", properties, auxiliary))
}

pub(super) fn stop_unit(unit: &str) -> zbus::Result<Message> {
    of_manager("StopUnit", &(unit, "replace"))
}

/// A call of systemd's manager.
pub(super) fn of_manager<B>(member: &str, body: &B) -> zbus::Result<Message>
where
    B: serde::Serialize + Type,
{
    Message::method_call(MANAGER_PATH, member)?
        .destination(SYSTEMD)?
        .interface(MANAGER)?
        .build(body)
}

/// Asks for a property of an object of systemd's.
pub(super) fn property(path: &str, interface: &str, name: &str) -> zbus::Result<Message> {
    Message::method_call(path, "Get")?
        .destination(SYSTEMD)?
        .interface("org.freedesktop.DBus.Properties")?
        .build(&(interface, name))
}

/// The process that the scope is to hold, as a descriptor; PIDs has its number.
const PIDFDS: &str = "PIDFDs";
/// Properties that an older systemd does not know; [`properties`] does without them.
const OPTIONAL: [&str; 1] = [PIDFDS];

/// The optional property that systemd says it does not know.
fn unknown_property(error: &BusError) -> Option<&'static str> {
    let BusError::Refused { name, text, .. } = error else {
        return None;
    };
    let unknown = [
        "org.freedesktop.DBus.Error.PropertyReadOnly",
        "org.freedesktop.DBus.Error.UnknownProperty",
    ];
    if !unknown.contains(&name.as_str()) {
        return None;
    }
    OPTIONAL
        .into_iter()
        .find(|property| text.contains(property))
}

/// The properties of the scope: systemd.scope(5), systemd.resource-control(5), systemd.kill(5).
fn properties<'a>(
    spec: &'a ScopeSpec,
    held: Held<'a>,
    left_out: &[&str],
) -> Vec<(&'static str, Value<'a>)> {
    let mut properties: Vec<(&str, Value<'_>)> = vec![
        ("Description", spec.description().into()),
        ("Slice", spec.slice.as_str().into()),
        // This implies Delegate=yes, and OOMPolicy=continue with that: an OOM kill in the leaf ends
        // the program and not the scope. Only the leaf's controllers are listed: each further one
        // costs time at every fork.
        ("DelegateControllers", spec.controllers.clone().into()),
        // Otherwise a scope that failed would stay loaded for ever.
        ("CollectMode", "inactive-or-failed".into()),
        // `systemctl stop` and the age limit kill at once, since nothing could end in good order.
        ("KillSignal", libc::SIGKILL.into()),
        ("TimeoutStopUSec", 2_000_000_u64.into()),
        // The run has a limit of its own for processes, or none. systemd's default, 15% of what the
        // machine can have, would be another one.
        ("TasksMax", u64::MAX.into()),
    ];
    if let Some(limit) = spec.runtime_max {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        properties.push(("RuntimeMaxUSec", micros.into()));
    }
    if left_out.contains(&PIDFDS) {
        properties.push(("PIDs", vec![held.pid as u32].into()));
    } else {
        properties.push((PIDFDS, vec![Fd::from(held.pidfd)].into()));
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_property_that_we_can_do_without_is_left_out() {
        let refused = |name: &str, text: &str| BusError::Refused {
            by: "systemd",
            name: format!("org.freedesktop.DBus.Error.{name}"),
            text: text.into(),
        };
        let text = "Cannot set property PIDFDs, or unknown property.";
        assert_eq!(
            unknown_property(&refused("PropertyReadOnly", text)),
            Some("PIDFDs")
        );
        let text = "Cannot set property Slice, or unknown property.";
        assert_eq!(unknown_property(&refused("PropertyReadOnly", text)), None);
        assert_eq!(unknown_property(&refused("AccessDenied", "PIDFDs")), None);
        assert_eq!(unknown_property(&BusError::Disconnected), None);
    }
}
