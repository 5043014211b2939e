//! What systemd and the bus say about the services of this machine, and about the slice of runs;
//! anybody may ask them.

use std::time::{Duration, Instant};

use zbus::Message;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

use super::state::object_path;
use super::unit::{MANAGER, MANAGER_PATH, of_manager, property};
use crate::bus::{Bus, BusError, Carries, Incoming, Pending, call_of_the_bus};

/// How long all answers may take together.
const PATIENCE: Duration = Duration::from_secs(10);
/// The name of polkit on the bus.
const POLKIT: &str = "org.freedesktop.PolicyKit1";

/// What systemd knows of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitState {
    /// Its name.
    pub(crate) name: String,
    /// `loaded`, `not-found`, `masked`.
    pub(crate) load: String,
    /// `active`, `inactive`, `failed`.
    pub(crate) active: String,
}

/// The answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// systemd's own version: `257.7-1`.
    pub(crate) version: String,
    /// The units that were asked about, and every timer that is loaded.
    pub(crate) units: Vec<UnitState>,
    /// Whether polkit runs or can be started.
    pub(crate) has_polkit: bool,
    /// The slices, of those asked about, below which systemd-oomd may kill, and for what.
    pub(crate) oomd_may_kill: Vec<String>,
}

/// The limits of a slice, as far as it has some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SliceLimits {
    /// MemoryMax, or MemoryHigh where that is less, in bytes.
    pub(crate) memory: Option<u64>,
    /// TasksMax.
    pub(crate) tasks: Option<u64>,
    /// AllowedCPUs.
    pub(crate) cpus: Option<Vec<u32>>,
}

impl SliceLimits {
    /// Asks the systemd that makes the scopes of runs, which may be the user's own.
    pub(crate) fn ask(slice: &str) -> Result<Self, BusError> {
        let until = Instant::now() + PATIENCE;
        let mut bus = super::connect(Carries::Bytes)?;
        let path = object_path(slice);
        let mut of = |what| -> Result<Incoming, BusError> {
            let message = property(&path, "org.freedesktop.systemd1.Slice", what);
            Pending::send(&mut bus, message?, "systemd")?.wait(&mut bus, until)
        };
        let tasks = bound(&of("TasksMax")?);
        // What an older systemd does not know is no limit there.
        let mut least = |what| bound(&of(what).ok()?);
        let memory = [least("MemoryMax"), least("MemoryHigh")];
        Ok(Self {
            memory: memory.into_iter().flatten().min(),
            tasks,
            cpus: of("AllowedCPUs").ok().and_then(|answer| cpus(&answer)),
        })
    }
}

impl Survey {
    /// Asks about these units, every timer, and what systemd-oomd may do below these slices.
    pub(crate) fn ask(units: &[&str], slices: &[&str]) -> Result<Self, BusError> {
        let until = Instant::now() + PATIENCE;
        let mut bus = Bus::of_machine()?;
        let mut call = |message: zbus::Result<Message>, by: &'static str| {
            Pending::send(&mut bus, message?, by)?.wait(&mut bus, until)
        };
        let version = call(property(MANAGER_PATH, MANAGER, "Version"), "systemd")?;
        let mut states = units_of(&call(of_manager("ListUnitsByNames", &units), "systemd")?)?;
        let no_state: [&str; 0] = [];
        let timers = of_manager("ListUnitsByPatterns", &(&no_state[..], &["*.timer"][..]));
        states.extend(units_of(&call(timers, "systemd")?)?);
        let owned: bool = call(call_of_the_bus("NameHasOwner", &POLKIT), "the bus")?.body()?;
        let names: Vec<String> =
            call(call_of_the_bus("ListActivatableNames", &()), "the bus")?.body()?;
        let mut oomd_may_kill = Vec::new();
        for slice in slices {
            for (what, words) in [
                ("ManagedOOMSwap", "swap"),
                ("ManagedOOMMemoryPressure", "memory pressure"),
            ] {
                let path = object_path(slice);
                let message = property(&path, "org.freedesktop.systemd1.Slice", what);
                // An older systemd does not know the property; a slice may not be there yet.
                let answer = call(message, "systemd").and_then(|answer| text(&answer));
                if answer.is_ok_and(|answer| answer == "kill") {
                    oomd_may_kill.push(format!("{slice} ({words})"));
                }
            }
        }
        Ok(Self {
            version: text(&version)?,
            units: states,
            has_polkit: owned || names.iter().any(|name| name == POLKIT),
            oomd_may_kill,
        })
    }

    /// What is known of a unit.
    pub(crate) fn unit(&self, name: &str) -> Option<&UnitState> {
        self.units.iter().find(|unit| unit.name == name)
    }

    /// Whether a unit is active.
    pub(crate) fn is_active(&self, name: &str) -> bool {
        self.unit(name).is_some_and(|unit| unit.active == "active")
    }
}

/// A unit in a list of systemd's: name, description, load state, active state, state of its kind,
/// whom it follows, object, and its job's number, kind and object.
type Listed = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

fn units_of(answer: &Incoming) -> Result<Vec<UnitState>, BusError> {
    let listed: Vec<Listed> = answer.body()?;
    let states = listed.into_iter().map(|unit| UnitState {
        name: unit.0,
        load: unit.2,
        active: unit.3,
    });
    Ok(states.collect())
}

fn text(answer: &Incoming) -> Result<String, BusError> {
    let value: OwnedValue = answer.body()?;
    match &*value {
        Value::Str(text) => Ok(text.as_str().to_owned()),
        _ => Err(BusError::Message(zbus::Error::InvalidReply)),
    }
}

/// A number that is a limit; the greatest of all is none.
fn bound(answer: &Incoming) -> Option<u64> {
    let value: OwnedValue = answer.body().ok()?;
    u64::try_from(value).ok().filter(|most| *most != u64::MAX)
}

/// A set of CPUs, as bits; without any it is none.
fn cpus(answer: &Incoming) -> Option<Vec<u32>> {
    let value: OwnedValue = answer.body().ok()?;
    let bytes = Vec::<u8>::try_from(value).ok()?;
    let bits = (0_u32..).zip(
        bytes
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1)),
    );
    let set: Vec<u32> = bits
        .filter(|(_, bit)| *bit == 1)
        .map(|(cpu, _)| cpu)
        .collect();
    (!set.is_empty()).then_some(set)
}
