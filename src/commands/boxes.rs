//! `--init` and `--cleanup`: boxes come and go.

use super::Context;
use super::free_box::take_any;
use crate::answer::Answer;
use crate::box_dir::{
    Absent, BoxDir, Busy, Census, LeaseError, Lock, Record, holders, wait_for_stragglers,
};
use crate::cgroup::{Place, Subtree};
use crate::failure::Failure;
use crate::plan::{BoxPlan, ceilings};
use crate::polkit::Action;
use crate::quantity::{BoxId, DiskQuota, Ids};
use crate::request::BoxChoice;

/// Makes a box, or makes it anew; prints its path.
pub(crate) fn init(context: &Context) -> Result<Answer, Failure> {
    let Context { request, .. } = context;
    may_init(context)?;
    let place = context.place()?;
    if request.cg {
        place
            .require_memory()
            .map_err(|reason| Failure::new(format!("--cg is not possible: {reason}")))?;
    }
    let (plan, lock, before) = match request.box_id {
        Some(BoxChoice::Auto) => {
            let (plan, lock) = take_any(context)?;
            // A record in there is nobody's: its box was never finished.
            let before = lock.record()?;
            (plan, lock, before)
        }
        _ => {
            let plan = box_plan(context)?;
            check_known_owner(&plan, context)?;
            let lock = Lock::acquire(&plan.locks, plan.id, Absent::Create, busy(request.wait))?;
            let vanished = || Failure::new("the lock file of the box vanished");
            let lock = lock.ok_or_else(vanished)?;
            let before = lock.record()?;
            if let Some(record) = &before {
                check_owner(record, context)?;
            }
            (plan, lock, before)
        }
    };
    if let Some(record) = &before {
        settle(record)?;
    }
    let record = claim(context, &plan, &lock, before, request.cg, &place)?;
    let made = remove_traces(&plan, Some(&place), before.map(|record| record.ids)).and_then(|()| {
        let box_dir = create(&plan, &record, request.quota)?;
        lock.write(&Record {
            ready: true,
            ..record
        })?;
        Ok(box_dir)
    });
    if made.is_err() {
        // What failed is what there is to tell.
        drop(remove(&plan, &lock, Some(record.ids), Some(&place)));
    }
    let box_dir = made?;
    Ok(Answer::tell(format!("{}\n", box_dir.path().display())))
}

/// Removes a box, whatever state it is in. That there is none is no error.
pub(crate) fn cleanup(context: &Context) -> Result<Answer, Failure> {
    let Context {
        request, caller, ..
    } = context;
    let plan = box_plan(context)?;
    check_known_owner(&plan, context)?;
    // After a reboot the locks are gone, but not the boxes.
    let absent = match BoxDir::open(&plan.root, plan.id) {
        Ok(None) => Absent::Report,
        _ => Absent::Create,
    };
    let Some(lock) = Lock::acquire(&plan.locks, plan.id, absent, busy(request.wait))? else {
        log::info!("Nothing to do -- box did not exist");
        return Ok(Answer::default());
    };
    let ids = match lock.record() {
        Ok(Some(record)) => {
            check_owner(&record, context)?;
            settle(&record)?;
            Some(record.ids)
        }
        Ok(None) => None,
        // What cannot be read names no owner; only root may take it away then.
        Err(error) if caller.uid != 0 => return Err(error.into()),
        Err(_) => None,
    };
    // A manager that cannot be had any more has left nothing that we could remove.
    let place = context.place().ok();
    remove(&plan, &lock, ids, place.as_ref())?;
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

/// Makes a locked box the caller's, with ids of its own: if possible those that it had before. When all ids are in
/// use, boxes that nobody will come back for give up theirs.
pub(super) fn claim(
    context: &Context,
    plan: &BoxPlan,
    lock: &Lock,
    before: Option<Record>,
    cg: bool,
    place: &Place,
) -> Result<Record, Failure> {
    let claim = || lock.claim(plan.pool, before, context.caller.ids(), cg);
    // Others who make boxes wait until ours is among those that are counted.
    let _turn = match before {
        Some(before) if before.owner.uid == context.caller.uid => None,
        _ => check_boxes(context)?,
    };
    match claim() {
        Err(LeaseError::Exhausted(_)) => {
            remove_unfinished(context, plan, place)?;
            Ok(claim()?)
        }
        other => Ok(other?),
    }
}

/// Whether the caller may have another box. Root may; for others, boxes are counted, and are not made by anybody else
/// before the census is dropped.
fn check_boxes(context: &Context) -> Result<Option<Census>, Failure> {
    let (uid, settings) = (context.caller.uid, &context.settings);
    if context.caller.called_by_root {
        return Ok(None);
    }
    let census = Census::take(&settings.boxes.locks)?;
    let (theirs, all) = (census.of_user(uid), census.of_all_but_root());
    ceilings::check_boxes(uid, theirs, all, &settings.ceilings)?;
    Ok(Some(census))
}

/// Removes the boxes whose making, or whose `exec`, was killed.
fn remove_unfinished(context: &Context, plan: &BoxPlan, place: &Place) -> Result<(), Failure> {
    for id in holders(&plan.locks)? {
        // One that is being worked on is locked, this one too.
        let lock = Lock::acquire(&plan.locks, id, Absent::Report, Busy::Refuse);
        let Ok(Some(lock)) = lock else {
            continue;
        };
        if let Ok(Some(record)) = lock.record() {
            let plan = BoxPlan::new(id, &context.settings.boxes);
            if !record.ready {
                log::info!("removing box {id}, which was never finished");
                settle(&record)?;
                remove(&plan, &lock, Some(record.ids), Some(place))?;
            }
        }
    }
    Ok(())
}

/// Makes the directory of a box whose ids have this quota or none.
pub(super) fn create(
    plan: &BoxPlan,
    record: &Record,
    quota: Option<DiskQuota>,
) -> Result<BoxDir, Failure> {
    let box_dir = BoxDir::create(&plan.root, plan.id, record.owner)?;
    match quota {
        Some(_) => box_dir.set_quota(quota, record.ids.uid)?,
        // That of a box that had these ids before a reboot may still be in force.
        None => lift_quota(&box_dir, record.ids),
    }
    Ok(box_dir)
}

/// Removes a locked box. Without `ids` they are not known.
pub(super) fn remove(
    plan: &BoxPlan,
    lock: &Lock,
    ids: Option<Ids>,
    place: Option<&Place>,
) -> Result<(), Failure> {
    remove_traces(plan, place, ids)?;
    Ok(lock.give_up(ids)?)
}

/// Removes what a box with these ids consists of: cgroups that a killed keeper left, the quota, the directory.
pub(super) fn remove_traces(
    plan: &BoxPlan,
    place: Option<&Place>,
    ids: Option<Ids>,
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
fn lift_quota(box_dir: &BoxDir, ids: Ids) {
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

/// Root may use anybody's box, and whom polkit lets manage boxes; others only their own, also where root acts for them.
pub(super) fn check_owner(record: &Record, context: &Context) -> Result<(), Failure> {
    let Context { caller, .. } = context;
    if caller.uid == 0 || record.owner.uid == caller.uid {
        return Ok(());
    }
    let whose = format!(
        "This box belongs to a different user (uid {})",
        record.owner.uid
    );
    match &context.rights {
        None => Err(Failure::new(whose)),
        Some(rights) => Ok(rights
            .may(Action::ManageBoxes)
            .map_err(Failure::at(&whose))?),
    }
}

/// The same before the box is locked: whoever may not use it does not keep its owner waiting, either. What counts is what
/// its record says when it is locked.
pub(super) fn check_known_owner(plan: &BoxPlan, context: &Context) -> Result<(), Failure> {
    if context.caller.uid == 0 {
        return Ok(());
    }
    Lock::peek(&plan.locks, plan.id).map_or(Ok(()), |record| check_owner(&record, context))
}

/// What to do about a box that is in use.
pub(super) fn busy(wait: bool) -> Busy {
    if wait { Busy::Wait } else { Busy::Grace }
}
