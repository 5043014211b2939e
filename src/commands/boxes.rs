//! `--init` and `--cleanup`: boxes come and go.

use super::free_box::take_any;
use super::{Answer, Context, Failure};
use crate::box_dir::{
    Absent, BoxDir, Busy, Lock, Owner, Record, lease, release, release_all, wait_for_stragglers,
};
use crate::caller::Caller;
use crate::cgroup::{Place, Subtree, find_place};
use crate::plan::BoxPlan;
use crate::quantity::BoxId;
use crate::request::BoxChoice;

/// Makes a box, or makes it anew; prints its path.
pub(crate) fn init(context: &Context) -> Result<Answer, Failure> {
    let Context {
        request,
        settings,
        caller,
        ..
    } = context;
    may_init(context)?;
    let place = find_place(&settings.cgroup)?;
    if request.cg {
        place
            .require_memory()
            .map_err(|reason| Failure::new(format!("--cg is not possible: {reason}")))?;
    }
    let (plan, lock) = match request.box_id {
        Some(BoxChoice::Auto) => take_any(context)?,
        _ => {
            let plan = box_plan(context)?;
            let lock = Lock::acquire(&plan.locks, plan.id, Absent::Create, busy(request.wait))?;
            let vanished = || Failure::new("the lock file of the box vanished");
            (plan, lock.ok_or_else(vanished)?)
        }
    };
    let before = lock.record()?;
    if let Some(record) = &before {
        check_owner(record, *caller)?;
        settle(record)?;
    }
    let before = before.map(|record| record.ids);
    let record = claim(&plan, &lock, before, caller.owner(), request.cg)?;
    remove_traces(&plan, Some(&place), before)?;
    let box_dir = BoxDir::create(&plan.root, plan.id, caller.owner())?;
    if request.quota.is_some() {
        box_dir.set_quota(request.quota, record.ids.uid)?;
    } else {
        lift_quota(&box_dir, record.ids);
    }
    lock.write(&Record {
        ready: true,
        ..record
    })?;
    Ok(Answer {
        stdout: format!("{}\n", box_dir.path().display()),
        ..Answer::default()
    })
}

/// Removes a box, whatever state it is in. That there is none is no error.
pub(crate) fn cleanup(context: &Context) -> Result<Answer, Failure> {
    let Context {
        request,
        settings,
        caller,
        ..
    } = context;
    let plan = box_plan(context)?;
    // After a reboot the locks are gone, but not the boxes.
    let absent = match BoxDir::open(&plan.root, plan.id) {
        Ok(None) => Absent::Report,
        _ => Absent::Create,
    };
    let Some(mut lock) = Lock::acquire(&plan.locks, plan.id, absent, busy(request.wait))? else {
        log::info!("Nothing to do -- box did not exist");
        return Ok(Answer::default());
    };
    let ids = match lock.record() {
        Ok(Some(record)) => {
            check_owner(&record, *caller)?;
            settle(&record)?;
            Some(record.ids)
        }
        Ok(None) => None,
        // What cannot be read names no owner; only root may take it away then.
        Err(error) if caller.uid != 0 => return Err(error.into()),
        Err(_) => None,
    };
    // A manager that cannot be had any more has left nothing that we could remove.
    let place = find_place(&settings.cgroup).ok();
    remove_traces(&plan, place.as_ref(), ids)?;
    lock.clear()?;
    match ids {
        Some(ids) => release(&plan.locks, plan.id, ids)?,
        None => release_all(&plan.locks, plan.id)?,
    }
    Ok(Answer::default())
}

/// Whether the caller may make boxes at all: `[boxes] only_root_inits`.
pub(super) fn may_init(context: &Context) -> Result<(), Failure> {
    if context.settings.boxes.only_root_inits && !context.caller.called_by_root {
        return Err(Failure::new("New sandboxes can be created only by root"));
    }
    Ok(())
}

/// The plan for the box that the request names.
pub(super) fn box_plan(context: &Context) -> Result<BoxPlan, Failure> {
    let id = match context.request.box_id {
        Some(BoxChoice::Number(id)) => id,
        Some(BoxChoice::Auto) => {
            return Err(Failure::new(
                "--box-id=auto is for --init and exec; the other commands take the number, the last part of the path that \
                 --init has printed",
            ));
        }
        None => BoxId(0),
    };
    Ok(BoxPlan::new(id, &context.settings.boxes))
}

/// Makes a locked box the owner's, with ids of its own: if possible those that it had before.
pub(super) fn claim(
    plan: &BoxPlan,
    lock: &Lock,
    before: Option<Owner>,
    owner: Owner,
    cg: bool,
) -> Result<Record, Failure> {
    let record = Record {
        owner,
        ids: lease(&plan.locks, plan.id, plan.pool, before)?,
        cg,
        ready: false,
        running: false,
    };
    if let Err(error) = lock.write(&record) {
        // Nobody would know of it.
        release(&plan.locks, plan.id, record.ids).ok();
        return Err(error.into());
    }
    Ok(record)
}

/// Removes what a box with these ids consists of: cgroups that a killed keeper left, the quota, the directory.
pub(super) fn remove_traces(
    plan: &BoxPlan,
    place: Option<&Place>,
    ids: Option<Owner>,
) -> Result<(), Failure> {
    if let Some(Place::Delegated { root, .. }) = place {
        Subtree::remove_delegated(root, plan.id)?;
    }
    let box_dir = BoxDir::open(&plan.root, plan.id).unwrap_or(None);
    if let (Some(box_dir), Some(ids)) = (box_dir, ids) {
        lift_quota(&box_dir, ids);
    }
    BoxDir::remove(&plan.root, plan.id)?;
    Ok(())
}

/// Lifts the quota of these ids. A file system without quotas has none to lift.
fn lift_quota(box_dir: &BoxDir, ids: Owner) {
    if let Err(error) = box_dir.set_quota(None, ids.uid) {
        log::debug!("{error}");
    }
}

/// Waits for what a killed keeper left, while it is still dying.
pub(super) fn settle(record: &Record) -> Result<(), Failure> {
    if record.running {
        wait_for_stragglers(record.ids.uid)?;
    }
    Ok(())
}

/// Root may use anybody's box; others only their own, also where root acts for them.
pub(super) fn check_owner(record: &Record, caller: Caller) -> Result<(), Failure> {
    if caller.uid == 0 || record.owner.uid == caller.uid {
        return Ok(());
    }
    Err(Failure::new(format!(
        "This box belongs to a different user (uid {})",
        record.owner.uid
    )))
}

/// What to do about a box that is in use.
pub(super) fn busy(wait: bool) -> Busy {
    if wait { Busy::Wait } else { Busy::Grace }
}
