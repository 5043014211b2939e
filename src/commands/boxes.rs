//! `--init` and `--cleanup`: boxes come and go.

use super::{Answer, Context, Failure};
use crate::box_dir::{Absent, BoxDir, Busy, Lock, Record, wait_for_stragglers};
use crate::caller::Caller;
use crate::cgroup::{Place, Subtree, find_place};
use crate::plan::BoxPlan;
use crate::quantity::BoxId;

/// Makes a box, or makes it anew; prints its path.
pub(crate) fn init(context: &Context) -> Result<Answer, Failure> {
    let Context {
        request,
        settings,
        caller,
        ..
    } = context;
    may_init(context)?;
    let plan = box_plan(context)?;
    let place = find_place(&settings.cgroup)?;
    if request.cg {
        place
            .require_memory()
            .map_err(|reason| Failure::new(format!("--cg is not possible: {reason}")))?;
    }
    let lock = Lock::acquire(&plan.locks, plan.id, Absent::Create, busy(request.wait))?;
    let lock = lock.ok_or_else(|| Failure::new("the lock file of the box vanished"))?;
    if let Some(record) = lock.record()? {
        check_owner(&record, *caller)?;
        settle(&record, &plan)?;
    }
    let record = Record {
        owner: caller.owner(),
        cg: request.cg,
        ready: false,
        running: false,
    };
    lock.write(&record)?;
    remove_traces(&plan, Some(&place))?;
    let box_dir = BoxDir::create(&plan.root, plan.id, caller.owner())?;
    if request.quota.is_some() {
        box_dir.set_quota(request.quota, plan.ids.uid)?;
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
    match lock.record() {
        Ok(Some(record)) => {
            check_owner(&record, *caller)?;
            settle(&record, &plan)?;
        }
        Ok(None) => {}
        // What cannot be read names no owner; only root may take it away then.
        Err(error) if caller.uid != 0 => return Err(error.into()),
        Err(_) => {}
    }
    // A manager that cannot be had any more has left nothing that we could remove.
    let place = find_place(&settings.cgroup).ok();
    remove_traces(&plan, place.as_ref())?;
    lock.clear()?;
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
    let id = context.request.box_id.unwrap_or(BoxId(0));
    Ok(BoxPlan::resolve(id, &context.settings.boxes)?)
}

/// Removes what a box consists of: cgroups that a killed keeper left, the quota, the directory.
pub(super) fn remove_traces(plan: &BoxPlan, place: Option<&Place>) -> Result<(), Failure> {
    if let Some(Place::Delegated { root, .. }) = place {
        Subtree::remove_delegated(root, plan.id)?;
    }
    if let Some(box_dir) = BoxDir::open(&plan.root, plan.id).unwrap_or(None) {
        // A file system without quotas has none to lift.
        if let Err(error) = box_dir.set_quota(None, plan.ids.uid) {
            log::debug!("{error}");
        }
    }
    BoxDir::remove(&plan.root, plan.id)?;
    Ok(())
}

/// Waits for what a killed keeper left, while it is still dying.
pub(super) fn settle(record: &Record, plan: &BoxPlan) -> Result<(), Failure> {
    if record.running {
        wait_for_stragglers(plan.ids.uid)?;
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
