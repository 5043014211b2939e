//! The CPUs that a run has to itself, where that is configured.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use super::Context;
use super::finished::Finished;
use super::rights::Rights;
use crate::caller::Inheritance;
use crate::cgroup::Place;
use crate::config::settings::LeaseUnit;
use crate::cpus::{Lease, Topology, Wanted, granted_in};
use crate::failure::Failure;
use crate::home::cgroup_of_runs;
use crate::quantity::BoxId;

/// Leases CPUs for a run in this box; `None` where no run has any to itself.
pub(super) fn lease_cpus(
    context: Context<'_>,
    place: &Place,
    box_id: BoxId,
) -> Result<Option<Lease>, Failure> {
    let settings = &context.asked.settings;
    if settings.cpus.lease == LeaseUnit::None {
        return Ok(None);
    }
    // Nobody keeps others from a CPU who may not run anything.
    context.rights().map_or(Ok(()), Rights::wait)?;
    let granted = granted_in(&cgroup_of_runs(place, &settings.cgroup)?)?;
    let wanted = Wanted {
        locks: &settings.boxes.locks,
        usable: usable(context, box_id, &granted)?,
        granted: &granted,
        waits: context.common().wait,
    };
    let topology = Topology::read("/".as_ref())?;
    Ok(Some(Lease::take(&topology, &settings.cpus, &wanted)?))
}

/// Notes whose processes have the CPUs of a lease from now on.
pub(super) fn begin(lease: Option<&Lease>, uid: u32) -> Result<(), Failure> {
    Ok(lease.map_or(Ok(()), |lease| lease.begin(uid))?)
}

/// A copy of what holds a lease, for init.
pub(super) fn copy_of(lease: Option<&Lease>) -> Result<Option<OwnedFd>, Failure> {
    let copy = lease.map(|lease| lease.fd().try_clone_to_owned());
    copy.transpose()
        .map_err(Failure::at("cannot copy the lease of the CPUs"))
}

impl Finished {
    /// Gives the CPUs back that it had to itself. Nothing of the run is there any more.
    pub(super) fn end_lease(&mut self, lease: Option<Lease>) {
        match lease.map(Lease::finish).transpose() {
            Ok(leased) => self.circumstances.leased = leased,
            Err(error) => self.fail(&error.into()),
        }
    }
}

/// The CPUs that the run may use: those of the box's pin, as far as the caller may use them.
fn usable(
    context: Context<'_>,
    box_id: BoxId,
    granted: &BTreeSet<u32>,
) -> Result<BTreeSet<u32>, Failure> {
    let of_caller: BTreeSet<u32> = match &context.asked.inheritance {
        Some(inheritance) => inheritance.cpus().collect(),
        None => {
            let own = Inheritance::of_process();
            let own = own.map_err(Failure::at("cannot find out the CPUs of this process"))?;
            own.cpus().collect()
        }
    };
    let pin = context.asked.settings.pin_of(box_id);
    let usable = match pin.and_then(|pin| pin.cpus.as_ref()) {
        Some(list) => list.numbers(),
        None => granted.clone(),
    };
    // Whoever is kept from all CPUs of runs, as the system may be, still runs programs there.
    Ok(match of_caller.is_disjoint(&usable) {
        true => usable,
        false => &usable & &of_caller,
    })
}
