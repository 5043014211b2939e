//! `gc`: removes boxes that nobody has used for a time.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::boxes::{mounts_of, remove, settle};
use super::{Context, Done};
use crate::answer::Answer;
use crate::box_dir::{Absent, Busy, Lock, Mounts, Record, sight_of, sights, strays};
use crate::cgroup::Place;
use crate::chronicle::Told;
use crate::failure::Failure;
use crate::plan::BoxPlan;
use crate::polkit::Action;
use crate::quantity::BoxId;
use crate::request::GcRequest;
use crate::way;

/// A box that goes, or would.
struct Old {
    id: BoxId,
    uid: u32,
    days: u64,
    /// Whether it has no record.
    is_stray: bool,
}

/// Removes them. One that cannot be removed does not keep the others.
pub(super) fn gc(context: Context<'_>, request: GcRequest) -> Result<Done, Failure> {
    let boxes = &context.asked.settings.boxes;
    let of_all = whose(context, request)?;
    let place = context.place().ok();
    let (mut text, mut failures) = (String::new(), Vec::new());
    let mut removed = 0_u32;
    for old in find(context, request, of_all)? {
        let plan = BoxPlan::new(old.id, boxes);
        let done = match request.dry_run {
            true => Ok(true),
            false => remove_if_old(context, &plan, request, &old, place.as_ref()),
        };
        let Old { id, uid, days, .. } = old;
        let uid = way::outside(uid);
        match done {
            Ok(false) => continue,
            Ok(true) => {
                removed += 1;
                let what = if request.dry_run {
                    "would remove"
                } else {
                    "removed"
                };
                text.push_str(&format!(
                    "{what} box {id} of user {uid}, unused for {days} days\n"
                ));
            }
            Err(failure) => failures.push(format!("box {id} cannot be removed: {failure}")),
        }
    }
    let told = match (request.dry_run, removed) {
        (true, _) | (_, 0) => Told::Nothing,
        (false, 1) => Told::Did("removed a box that was not used".to_owned()),
        (false, _) => Told::Did(format!("removed {removed} boxes that were not used")),
    };
    let answer = Answer {
        stdout: text,
        code: if failures.is_empty() { 0 } else { 2 },
        stderr: (!failures.is_empty()).then(|| failures.join("\n")),
    };
    Ok(Done {
        told,
        ..Done::from(answer)
    })
}

/// Whether all users' boxes are meant, or the caller's alone.
fn whose(context: Context<'_>, request: GcRequest) -> Result<bool, Failure> {
    let Some(rights) = context.rights() else {
        return Ok(context.asked.caller.uid == 0);
    };
    if request.all {
        rights.may(Action::ManageBoxes)?;
    }
    Ok(request.all)
}

/// The boxes that nobody works on and that are old enough.
fn find(context: Context<'_>, request: GcRequest, of_all: bool) -> Result<Vec<Old>, Failure> {
    let boxes = &context.asked.settings.boxes;
    let own = context.asked.caller.uid;
    let sights = sights(&boxes.locks)?;
    let known: BTreeSet<u32> = sights.iter().map(|sight| sight.id.0).collect();
    let mut all = Vec::new();
    for sight in &sights {
        let uid = sight.record.owner.uid;
        let age = sight.changed.and_then(|changed| age(request, changed));
        if let (true, None, Some(days)) = (of_all || uid == own, sight.locked_by, age) {
            all.push(Old {
                id: sight.id,
                uid,
                days,
                is_stray: false,
            });
        }
    }
    for stray in strays(&boxes.root, &known)? {
        let age = stray.changed.and_then(|changed| age(request, changed));
        if let (true, Some(days)) = (of_all || stray.uid == own, age) {
            all.push(Old {
                id: stray.id,
                uid: stray.uid,
                days,
                is_stray: true,
            });
        }
    }
    all.sort_by_key(|old| old.id.0);
    Ok(all)
}

/// For how many days something was not changed, if that is old enough.
fn age(request: GcRequest, changed: SystemTime) -> Option<u64> {
    let age = SystemTime::now().duration_since(changed).ok()?;
    (age >= request.older_than).then_some(age.as_secs() / 86_400)
}

/// Removes a box, unless somebody has come before: then it is in use.
fn remove_if_old(
    context: Context<'_>,
    plan: &BoxPlan,
    request: GcRequest,
    old: &Old,
    place: Option<&Place>,
) -> Result<bool, Failure> {
    let absent = match old.is_stray {
        true => Absent::Create,
        false => Absent::Report,
    };
    let Ok(Some(lock)) = Lock::acquire(&plan.locks, plan.id, absent, Busy::Refuse) else {
        return Ok(false);
    };
    let record = lock.record()?;
    let now = sight_of(&plan.locks, plan.id).and_then(|sight| sight.changed);
    let is_old = match record {
        None => old.is_stray,
        Some(record) => {
            let is_same = record.owner.uid == old.uid && !old.is_stray;
            is_same && now.is_some_and(|changed| age(request, changed).is_some())
        }
    };
    if !is_old {
        return Ok(false);
    }
    if let Some(record) = &record {
        settle(record)?;
    }
    let by_root = context.asked.caller.uid == 0;
    let mounts = |record: &Record| match by_root {
        true => mounts_of(record),
        false => Mounts::Refuse,
    };
    let mounts = record.as_ref().map_or(Mounts::Refuse, mounts);
    remove(plan, &lock, record.map(|record| record.ids), place, mounts)?;
    Ok(true)
}
