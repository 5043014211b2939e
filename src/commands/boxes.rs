//! What the commands do with boxes: whose they are, how they come and go.

use super::Context;
use crate::box_dir::{
    Absent, BoxDir, Busy, Census, Expected, LeaseError, Lock, Mounts, Record, Removing, holders,
    wait_for_stragglers,
};
use crate::cgroup::{Place, Subtree};
use crate::failure::{Failure, Kind};
use crate::home;
use crate::plan::{BoxPlan, ceilings};
use crate::polkit::Action;
use crate::quantity::{BoxId, DiskQuota, Ids};
use crate::request::BoxChoice;
use crate::user::Who;
use crate::way;

/// Whether the caller may make boxes at all: `[boxes] only_root_inits`.
pub(super) fn may_init(context: Context<'_>) -> Result<(), Failure> {
    if context.asked.settings.boxes.only_root_inits && !context.asked.caller.called_by_root {
        return Err(Failure::new("New sandboxes can be created only by root"));
    }
    Ok(())
}

/// The plan for the box that the request names.
pub(super) fn box_plan(context: Context<'_>) -> Result<BoxPlan, Failure> {
    let id = match context.common().box_id {
        Some(BoxChoice::Number(id)) => id,
        Some(BoxChoice::Auto) => {
            return Err(Failure::new(
                "--box-id=auto is for --init and exec; the other commands take the number, the last part of the path that \
                 --init has printed",
            ));
        }
        None => BoxId(0),
    };
    Ok(BoxPlan::new(id, &context.asked.settings.boxes))
}

/// Makes a locked box the caller's, with ids of its own: if possible those that it had before. When
/// all ids are in use, boxes that nobody will come back for give up theirs.
pub(super) fn claim(
    context: Context<'_>,
    plan: &BoxPlan,
    lock: &Lock,
    before: Option<Record>,
    cg: bool,
    place: &Place,
) -> Result<Record, Failure> {
    let claim = || -> Result<_, Failure> {
        // Others who make boxes wait until ours is among those that are counted, but not while
        // anything is removed, which may take long.
        let _turn = match before {
            Some(before) if before.owner.uid == context.asked.caller.uid => None,
            _ => check_boxes(context)?,
        };
        Ok(lock.claim(plan.pool, before, context.asked.caller.ids(), cg))
    };
    match claim()? {
        Err(LeaseError::Exhausted(_)) => {
            remove_unfinished(context, plan, place)?;
            Ok(claim()??)
        }
        other => Ok(other?),
    }
}

/// Whether the caller may have another box. Root may; for others, boxes are counted, and are not
/// made by anybody else before the census is dropped.
fn check_boxes(context: Context<'_>) -> Result<Option<Census>, Failure> {
    let (uid, settings) = (context.asked.caller.uid, &context.asked.settings);
    if context.asked.caller.called_by_root {
        return Ok(None);
    }
    let census = Census::take(&settings.boxes.locks)?;
    let (theirs, all) = (census.of_user(uid), census.of_all_but_root());
    ceilings::check_boxes(uid, theirs, all, &settings.ceilings)?;
    Ok(Some(census))
}

/// Removes the boxes whose making, or whose `exec`, was killed, as far as they can be removed: one
/// that stays keeps its ids, and the others give up theirs all the same.
fn remove_unfinished(context: Context<'_>, plan: &BoxPlan, place: &Place) -> Result<(), Failure> {
    // What did not die while the first box was waited for does not die soon.
    let mut expected = Expected::Dying;
    for id in holders(&plan.locks)? {
        // One that is being worked on is locked, this one too.
        let lock = Lock::acquire(&plan.locks, id, Absent::Report, Busy::Refuse);
        let Ok(Some(lock)) = lock else {
            continue;
        };
        if let Ok(Some(record)) = lock.record() {
            let plan = BoxPlan::new(id, &context.asked.settings.boxes);
            if !record.ready {
                log::info!("removing box {id}, which was never finished");
                if let Err(failure) = settle_as(&record, expected) {
                    log::warn!("box {id} cannot be removed: {failure}");
                    expected = Expected::Gone;
                    continue;
                }
                let ids = Some(record.ids);
                let how = removing(Some(&record), Mounts::Detach);
                if let Err(failure) = remove(&plan, &lock, ids, Some(place), how) {
                    log::warn!("box {id} cannot be removed: {failure}");
                }
            }
        }
    }
    Ok(())
}

/// Makes the directory of a box anew, of which this was known `before`; its ids have this quota or
/// none.
pub(super) fn create(
    plan: &BoxPlan,
    place: &Place,
    record: &Record,
    before: Option<Record>,
    how: Removing,
    quota: Option<DiskQuota>,
) -> Result<BoxDir, Failure> {
    let make = || BoxDir::create(&plan.root, plan.id, record.owner);
    // Of a box that nobody knows of there mostly is nothing, as is seen when it is made.
    if before.is_none() && !matches!(place, Place::Delegated { .. }) {
        match make() {
            Err(error) if error.is_there_already() => {}
            box_dir => return limit(box_dir?, record, quota),
        }
    }
    // Others that it had may be those of another box by now.
    let ids = before.map(|before| before.ids);
    let ids = ids.filter(|ids| *ids == record.ids);
    remove_traces(plan, Some(place), ids, how)?;
    limit(make()?, record, quota)
}

fn limit(box_dir: BoxDir, record: &Record, quota: Option<DiskQuota>) -> Result<BoxDir, Failure> {
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
    how: Removing,
) -> Result<(), Failure> {
    home::dismiss(lock);
    remove_at_rest(plan, lock, ids, place, how)
}

/// The same, and whoever keeps a scope for its runs is told by the caller.
pub(super) fn remove_at_rest(
    plan: &BoxPlan,
    lock: &Lock,
    ids: Option<Ids>,
    place: Option<&Place>,
    how: Removing,
) -> Result<(), Failure> {
    remove_traces(plan, place, ids, how)?;
    Ok(lock.give_up(ids)?)
}

/// Removes what a box with these ids consists of: cgroups that a killed keeper left, the quota, the
/// directory.
fn remove_traces(
    plan: &BoxPlan,
    place: Option<&Place>,
    ids: Option<Ids>,
    how: Removing,
) -> Result<(), Failure> {
    if let Some(Place::Delegated { root, .. }) = place {
        Subtree::remove_delegated(root, plan.id)?;
    }
    match (BoxDir::open(&plan.root, plan.id), ids) {
        (Ok(None), _) => return Ok(()),
        (Ok(Some(box_dir)), Some(ids)) => lift_quota(&box_dir, ids),
        // If anything is wrong, the removal says so.
        _ => {}
    }
    Ok(BoxDir::remove(&plan.root, plan.id, how)?)
}

/// What becomes of mounts in what was there `before`, when it is removed or made anew. Root is kept
/// from nothing by them. A user may mean to use their box again with what they mounted there, and
/// root to use its own, unless the making was never finished.
pub(super) fn mounts_in(before: Option<&Record>, context: Context<'_>) -> Mounts {
    let own = context.asked.caller.uid;
    let stays = |before: &Record| before.ready && [own, 0].contains(&before.owner.uid);
    match own != 0 && before.is_none_or(stays) {
        true => Mounts::Refuse,
        false => Mounts::Detach,
    }
}

/// How a box is removed of which this was known `before`. What a killed keeper left, or what nobody
/// knows anything of, may be the box user's and within the reach of others: it goes as a whole.
pub(super) fn removing(before: Option<&Record>, mounts: Mounts) -> Removing {
    let at_rest = before.filter(|before| !before.running);
    Removing {
        mounts,
        of: at_rest.map(|before| before.owner.uid),
    }
}

/// Lifts the quota of these ids. A file system without quotas has none to lift.
fn lift_quota(box_dir: &BoxDir, ids: Ids) {
    if let Err(error) = box_dir.set_quota(None, ids.uid) {
        log::debug!("{error}");
    }
}

/// Waits for what a killed keeper left, while it is still dying.
pub(super) fn settle(record: &Record) -> Result<(), Failure> {
    settle_as(record, Expected::Dying)
}

/// The same, with the patience for what is `expected`.
pub(super) fn settle_as(record: &Record, expected: Expected) -> Result<(), Failure> {
    if record.running {
        wait_for_stragglers(record.ids, expected)?;
    }
    Ok(())
}

/// Root may use anybody's box, and whom polkit lets manage boxes; others only their own, also where
/// root acts for them.
pub(super) fn check_owner(record: &Record, context: Context<'_>) -> Result<(), Failure> {
    let caller = context.asked.caller;
    if caller.uid == 0 || record.owner.uid == caller.uid {
        return Ok(());
    }
    // The words up to the number are isolate's.
    let owner = way::outside(record.owner.uid);
    let name = Who(owner).name();
    let name = name.map_or_else(String::new, |name| format!(", who is {name}"));
    let whose = format!("This box belongs to a different user (uid {owner}){name}");
    match context.rights() {
        None => Err(Failure::new(whose).of_kind(Kind::Denied)),
        Some(rights) => Ok(rights
            .may(Action::ManageBoxes)
            .map_err(|denied| Failure::at(&whose)(denied).of_kind(Kind::Denied))?),
    }
}

/// The same before the box is locked: whoever may not use it does not keep its owner waiting,
/// either. What counts is what its record says when it is locked.
pub(super) fn check_known_owner(plan: &BoxPlan, context: Context<'_>) -> Result<(), Failure> {
    if context.asked.caller.uid == 0 {
        return Ok(());
    }
    Lock::peek(&plan.locks, plan.id).map_or(Ok(()), |record| check_owner(&record, context))
}

/// A box is made anew by its owner alone: whoever else may use it does not wipe it by the way.
pub(super) fn check_not_anothers(
    id: BoxId,
    record: &Record,
    context: Context<'_>,
) -> Result<(), Failure> {
    let owner = record.owner.uid;
    if owner == context.asked.caller.uid || !record.ready {
        return Ok(());
    }
    Err(Failure::new(format!(
        "box {id} belongs to {}: choose another number, or remove it by --cleanup --box-id={id} first; \
         ceilings.box_ids in isolate.toml keeps users to numbers of their own",
        Who(way::outside(owner))
    )))
}

/// Whether a box with this number may be made: root chooses any.
pub(super) fn check_number(id: BoxId, context: Context<'_>) -> Result<(), Failure> {
    if context.asked.caller.called_by_root {
        return Ok(());
    }
    Ok(ceilings::check_number(
        id,
        &context.asked.settings.ceilings,
    )?)
}

/// What to do about a box that is in use.
pub(super) fn busy(wait: bool) -> Busy {
    if wait { Busy::Wait } else { Busy::Grace }
}
