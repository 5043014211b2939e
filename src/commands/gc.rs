//! `gc`: removes boxes that nobody has used for a time, and scopes that are over.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::boxes::{mounts_in, remove, removing, settle};
use super::leftovers;
use super::{Context, Done};
use crate::answer::Answer;
use crate::box_dir::{Absent, Busy, Lock, Which, sight_of, sights, strays};
use crate::cgroup::Place;
use crate::chronicle::Told;
use crate::error::chain;
use crate::failure::Failure;
use crate::home::Remnant;
use crate::plan::BoxPlan;
use crate::polkit::Action;
use crate::quantity::BoxId;
use crate::request::GcRequest;
use crate::user::Who;
use crate::way;

/// A box that goes, or would.
struct Old {
    id: BoxId,
    uid: u32,
    unused: Duration,
    /// Whether it has no record.
    is_stray: bool,
}

/// Removes them. One that cannot be removed does not keep the others.
pub(super) fn gc(context: Context<'_>, request: GcRequest) -> Result<Done, Failure> {
    if request.leftovers {
        return leftovers::clear(context, request);
    }
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
        let Old {
            id, uid, unused, ..
        } = old;
        let user = Who(way::outside(uid));
        match done {
            Ok(false) => continue,
            Ok(true) => {
                removed += 1;
                let what = if request.dry_run {
                    "would remove"
                } else {
                    "removed"
                };
                let unused = in_words(unused);
                text.push_str(&format!("{what} box {id} of {user}, unused for {unused}\n"));
            }
            Err(failure) => failures.push(format!("box {id} cannot be removed: {failure}")),
        }
    }
    take_away_remnants(context, request, place.as_ref(), &mut text, &mut failures);
    if leftovers::may_clear(context) {
        match leftovers::clear_all(context, request, Which::Present) {
            Ok((line, left)) => {
                text.push_str(&line);
                failures.extend(left);
            }
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    let told = match (request.dry_run, removed) {
        (true, _) | (_, 0) => Told::Nothing,
        (false, 1) => Told::Did("removed a box that was not used".to_owned()),
        (false, _) => Told::Did(format!("removed {removed} boxes that were not used")),
    };
    if request.dry_run && text.is_empty() && failures.is_empty() {
        let unused = in_words(request.older_than);
        text = format!("nothing to remove: no box is unused for {unused}\n");
    }
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

/// Takes away scopes that are over and still there, or tells of them.
fn take_away_remnants(
    context: Context<'_>,
    request: GcRequest,
    place: Option<&Place>,
    text: &mut String,
    failures: &mut Vec<String>,
) {
    let found = place.map(|place| Remnant::find_all(place, &context.asked.settings.cgroup));
    let found = found.unwrap_or(Ok(Vec::new())).unwrap_or_else(|error| {
        let why = chain(&error);
        failures.push(format!(
            "systemd cannot be asked which scopes are over: {why}; run gc again"
        ));
        Vec::new()
    });
    for remnant in found {
        let unit = remnant.unit();
        if request.dry_run {
            text.push_str(&format!("would remove {unit}, which stands empty\n"));
            continue;
        }
        match remnant.remove() {
            Ok(()) => text.push_str(&format!("removed {unit}, which stood empty\n")),
            Err(failure) => failures.push(format!("{unit} cannot be removed: {failure}")),
        }
    }
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
        if let (true, None, Some(unused)) = (of_all || uid == own, sight.locked_by, age) {
            all.push(Old {
                id: sight.id,
                uid,
                unused,
                is_stray: false,
            });
        }
    }
    for stray in strays(&boxes.root, &known)? {
        let age = stray.changed.and_then(|changed| age(request, changed));
        if let (true, Some(unused)) = (of_all || stray.uid == own, age) {
            all.push(Old {
                id: stray.id,
                uid: stray.uid,
                unused,
                is_stray: true,
            });
        }
    }
    all.sort_by_key(|old| old.id.0);
    Ok(all)
}

/// A time as people say it: in its largest unit.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{s}")
}

/// For how long something was not changed, if that is long enough.
fn age(request: GcRequest, changed: SystemTime) -> Option<Duration> {
    let age = SystemTime::now().duration_since(changed).ok()?;
    (age >= request.older_than).then_some(age)
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
    let mounts = mounts_in(record.as_ref(), context);
    let how = removing(record.as_ref(), mounts);
    remove(plan, &lock, record.map(|record| record.ids), place, how)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_unit_that_fits() {
        for (seconds, words) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (150, "2 minutes"),
            (7_200, "2 hours"),
            (86_400, "24 hours"),
            (259_200, "3 days"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
