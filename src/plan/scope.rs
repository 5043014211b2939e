//! The scope that runs in a box need: all of it follows from the box, and nothing from one run.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use crate::cgroup::{LeafLimits, Place};
use crate::config::settings::{LeaseUnit, Settings};
use crate::quantity::BoxId;
use crate::systemd::ScopeSpec;

/// The scope that any run in this box needs, whatever its time limits are, if its cgroup is
/// systemd's.
pub(crate) fn scope_of(
    settings: &Settings,
    place: &Place,
    box_id: BoxId,
    uid: u32,
    cg: bool,
) -> Option<ScopeSpec> {
    scope(settings, place, box_id, uid, &leaf_of(settings, box_id, cg))
}

/// The limits of a leaf that follow from the box.
pub(super) fn leaf_of(settings: &Settings, box_id: BoxId, cg: bool) -> LeafLimits {
    let pin = settings.pin_of(box_id);
    LeafLimits {
        controlled: cg,
        cpus: pin.and_then(|pin| pin.cpus.clone()),
        mems: pin.and_then(|pin| pin.mems.clone()),
        leases_cpus: settings.cpus.lease != LeaseUnit::None,
        ..LeafLimits::default()
    }
}

/// The scope of a run in this box whose leaf has these limits.
pub(super) fn scope(
    settings: &Settings,
    place: &Place,
    box_id: BoxId,
    uid: u32,
    leaf: &LeafLimits,
) -> Option<ScopeSpec> {
    let Place::Systemd { mount_point, .. } = place else {
        return None;
    };
    Some(ScopeSpec {
        box_id,
        locks: digest(&settings.boxes.locks),
        uid,
        slice: settings.cgroup.slice.clone(),
        mount_point: mount_point.clone(),
        controllers: leaf.controllers().into_iter().map(str::to_owned).collect(),
        runtime_max: None,
        outlasts_runs: false,
        is_kept: false,
    })
}

/// The same for the same path, in every process.
fn digest(path: &Path) -> u32 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish() as u32
}
