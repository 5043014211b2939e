//! A box that nobody uses, for those who do not care which: `--box-id=auto`, and `exec`.

use std::time::{Duration, Instant};

use super::Context;
use super::boxes::{busy, check_number, settle_as};
use crate::box_dir::{Absent, BoxDir, Busy, Expected, Lock, LockError};
use crate::config::box_set::BoxSet;
use crate::failure::Failure;
use crate::plan::BoxPlan;
use crate::quantity::BoxId;
use crate::request::BoxChoice;

/// Takes the box that was asked for, which has to be free, or any.
pub(super) fn take_box(context: Context<'_>) -> Result<(BoxPlan, Lock), Failure> {
    let Some(BoxChoice::Number(id)) = context.common().box_id else {
        return take_any(context);
    };
    check_number(id, context)?;
    let plan = BoxPlan::new(id, &context.asked.settings.boxes);
    let lock = match is_made(&plan) {
        true => None,
        false => Lock::acquire(&plan.locks, id, Absent::Create, busy(context.common().wait))?,
    };
    match lock {
        Some(lock) if settle_if_free(&plan, &lock, Expected::Dying)? => Ok((plan, lock)),
        _ => Err(Failure::new(format!(
            "box {id} is in use: it was made by --init; choose another, or remove it by --cleanup --box-id={id}"
        ))),
    }
}

/// How many numbers are tried at most where users have numbers of their own.
const TRIED: usize = 1 << 16;

/// The numbers to choose from: as many as there may be boxes, of those that the caller may have,
/// from the last one down.
fn candidates(context: Context<'_>) -> Box<dyn Iterator<Item = BoxId>> {
    let settings = &context.asked.settings;
    let all = (0..settings.boxes.count).map(BoxId);
    match &settings.ceilings.box_ids {
        Some(ids) if !context.asked.caller.called_by_root => {
            let most = all.len().min(TRIED);
            let first: Vec<_> = ids.ids().take(most).collect();
            Box::new(first.into_iter().rev())
        }
        _ => Box::new(all.rev()),
    }
}

/// How long boxes whose programs are dying are waited for when there is no other.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes a free box in which nothing runs, from the highest number down: people and judges who
/// number their boxes begin at 0.
pub(super) fn take_any(context: Context<'_>) -> Result<(BoxPlan, Lock), Failure> {
    let boxes = &context.asked.settings.boxes;
    let mut unusable = Vec::new();
    for id in candidates(context) {
        let plan = BoxPlan::new(id, boxes);
        match try_box(&plan, Expected::Gone) {
            Ok(Some(lock)) => return Ok((plan, lock)),
            Ok(None) => {}
            // One that is damaged is not this user's business: there are others.
            Err(failure) => {
                log::info!("box {id} cannot be used: {failure}");
                unusable.push((plan, failure));
            }
        }
    }
    take_any_of(unusable).unwrap_or_else(|| Err(all_in_use(context)))
}

/// Takes one of the boxes that could not be used at once, as soon as what runs there has died; or
/// says why the first of them cannot be used, if there is one.
fn take_any_of(unusable: Vec<(BoxPlan, Failure)>) -> Option<Result<(BoxPlan, Lock), Failure>> {
    let begin = Instant::now();
    let mut first = None;
    for (plan, failure) in unusable {
        first.get_or_insert(failure);
        let expected = match begin.elapsed() < PATIENCE {
            true => Expected::Dying,
            false => Expected::Gone,
        };
        if let Ok(Some(lock)) = try_box(&plan, expected) {
            return Some(Ok((plan, lock)));
        }
    }
    first.map(Err)
}

/// There is no free box, and why there are no more.
fn all_in_use(context: Context<'_>) -> Failure {
    let settings = &context.asked.settings;
    let count = settings.boxes.count;
    let ids = settings.ceilings.box_ids.as_ref();
    let few = |ids: &&BoxSet| ids.ids().nth((0..count).len()).is_none();
    Failure::new(match ids.filter(few) {
        Some(ids) if !context.asked.caller.called_by_root => format!(
            "all boxes that users may have ({ids}, ceilings.box_ids) are in use: remove unused boxes by --cleanup"
        ),
        _ => format!(
            "all {count} boxes are in use; raise boxes.count in isolate.toml, or remove unused boxes by --cleanup"
        ),
    })
}

/// Takes a box if it is free; one with a process that is not `expected` is unusable.
fn try_box(plan: &BoxPlan, expected: Expected) -> Result<Option<Lock>, Failure> {
    if is_made(plan) {
        return Ok(None);
    }
    match Lock::acquire(&plan.locks, plan.id, Absent::Create, Busy::Refuse) {
        Ok(Some(lock)) if settle_if_free(plan, &lock, expected)? => Ok(Some(lock)),
        Ok(_) | Err(LockError::Busy) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether somebody has made the box, without locking it: whoever looks for a free one does not
/// keep owners waiting.
pub(super) fn is_made(plan: &BoxPlan) -> bool {
    Lock::peek(&plan.locks, plan.id).is_some_and(|record| record.ready)
}

/// Whether the box is free: nobody made it, or its making was never finished and nobody works on
/// it. Then nothing runs there any more.
fn settle_if_free(plan: &BoxPlan, lock: &Lock, expected: Expected) -> Result<bool, Failure> {
    let exists = BoxDir::open(&plan.root, plan.id)?.is_some();
    match lock.record()? {
        None => Ok(!exists),
        Some(record) if record.ready => Ok(false),
        Some(record) => settle_as(&record, expected).map(|()| true),
    }
}
