//! Scopes that are over and still there.
//!
//! systemd takes a scope away when nobody is in it. Somebody who comes in that very moment, because
//! the holder has just ended, keeps it from removing the cgroup; when they have gone, it may have
//! collected the unit, and forgotten the cgroup. And it never hears of the end of a scope whose
//! only process was dying while it was moved there.
//!
//! No scope of a run is taken for such a one. A new one stands empty before its unit is active, and
//! its unit is there before it. One that a holder has left is not used any more: see
//! [`Home`](super::Home).

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use crate::bus::BusError;
use crate::cgroup::{Place, Subtree};
use crate::config::settings::CgroupSettings;
use crate::failure::Failure;
use crate::systemd::{Inquiry, ScopeSpec, is_scope};

/// How long systemd is given to take a scope away by itself. The kernel tells it with a delay of up
/// to 10 ms.
const NOTICE: Duration = Duration::from_millis(50);
/// How often it is looked whether systemd has.
const LOOKS: usize = 10;

/// A scope that is over and still there.
#[derive(Debug)]
pub(crate) struct Remnant {
    /// Its cgroup.
    scope: PathBuf,
    unit: String,
    /// Whether systemd still has the unit.
    is_known: bool,
}

impl Remnant {
    /// Those of a box, in the slice of this scope of it.
    pub(super) fn find_of_box(spec: &ScopeSpec) -> Result<Vec<Self>, BusError> {
        find(deserted_in(&spec.slice_cgroup(), &spec.prefix()))
    }

    /// Those in the slice of runs, and in the slices of users there. This waits a little if a scope
    /// stands empty, and asks systemd if it stays so.
    pub(crate) fn find_all(
        place: &Place,
        settings: &CgroupSettings,
    ) -> Result<Vec<Self>, BusError> {
        let Place::Systemd { .. } = place else {
            return Ok(Vec::new());
        };
        let Ok(slice) = super::cgroup_of_runs(place, settings) else {
            return Ok(Vec::new());
        };
        let inner = entries(&slice).filter(|name| name.ends_with(".slice"));
        let slices = inner.map(|name| slice.join(name)).chain([slice.clone()]);
        find(slices.flat_map(|slice| deserted_in(&slice, "")).collect())
    }

    /// Its unit.
    pub(crate) fn unit(&self) -> &str {
        &self.unit
    }

    /// Takes it away, or has systemd do so.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        let removed = match self.is_known {
            true => Inquiry::start()
                .and_then(|mut systemd| systemd.stop(&self.unit))
                .map_err(Failure::at("systemd does not stop it")),
            false => Subtree::remove_scope(&self.scope).map_err(Failure::from),
        };
        match removed {
            // Somebody else was faster.
            Err(_) if !self.scope.exists() => Ok(()),
            other => other,
        }
    }
}

/// A scope's cgroup, and its unit.
type Deserted = (PathBuf, String);

/// The scopes in a slice in which nobody is, of those whose names begin so.
fn deserted_in(slice: &Path, prefix: &str) -> Vec<Deserted> {
    let units = entries(slice).filter(|unit| unit.starts_with(prefix) && is_scope(unit));
    let scopes = units.map(|unit| (slice.join(&unit), unit));
    scopes
        .filter(|(scope, _)| Subtree::is_deserted(scope))
        .collect()
}

/// The names in the cgroup of a slice. One in which nothing has run is not there.
fn entries(slice: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(slice).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// Those of them that systemd does not take away by itself.
fn find(mut deserted: Vec<Deserted>) -> Result<Vec<Remnant>, BusError> {
    let mut found = Vec::new();
    for _ in 0..LOOKS {
        if !deserted.is_empty() {
            sleep(NOTICE);
            deserted.retain(|(scope, _)| Subtree::is_deserted(scope));
        }
        if deserted.is_empty() {
            break;
        }
        let mut systemd = Inquiry::start()?;
        let mut undecided = Vec::new();
        for (scope, unit) in deserted {
            let is_active = systemd.is_active(&unit)?;
            // If it was made or taken away, it was so before the answer.
            match is_active {
                _ if !Subtree::is_deserted(&scope) => {}
                // It is being made, or taken away.
                Some(false) => undecided.push((scope, unit)),
                _ => found.push(Remnant {
                    scope,
                    unit,
                    is_known: is_active.is_some(),
                }),
            }
        }
        deserted = undecided;
    }
    Ok(found)
}
