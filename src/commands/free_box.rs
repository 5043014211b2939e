//! A box that nobody uses, for those who do not care which: `--box-id=auto`, and `exec`.

use super::Context;
use super::boxes::{busy, check_number};
use crate::box_dir::{Absent, BoxDir, Busy, Lock, LockError};
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
        Some(lock) if is_free(&plan, &lock)? => Ok((plan, lock)),
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

/// Takes a free box, from the highest number down: people and judges who number their boxes begin
/// at 0.
pub(super) fn take_any(context: Context<'_>) -> Result<(BoxPlan, Lock), Failure> {
    let boxes = &context.asked.settings.boxes;
    let mut unusable = None;
    for id in candidates(context) {
        let plan = BoxPlan::new(id, boxes);
        match try_box(&plan) {
            Ok(Some(lock)) => return Ok((plan, lock)),
            Ok(None) => {}
            // One that is damaged is not this user's business: there are others.
            Err(failure) => {
                log::info!("box {id} cannot be used: {failure}");
                unusable.get_or_insert(failure);
            }
        }
    }
    Err(unusable.unwrap_or_else(|| {
        Failure::new(format!(
            "all {} boxes are in use; raise boxes.count in isolate.toml, or remove unused boxes by --cleanup",
            boxes.count
        ))
    }))
}

/// Takes a box if it is free.
fn try_box(plan: &BoxPlan) -> Result<Option<Lock>, Failure> {
    if is_made(plan) {
        return Ok(None);
    }
    match Lock::acquire(&plan.locks, plan.id, Absent::Create, Busy::Refuse) {
        Ok(Some(lock)) if is_free(plan, &lock)? => Ok(Some(lock)),
        Ok(_) | Err(LockError::Busy) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether somebody has made the box, without locking it: whoever looks for a free one does not
/// keep owners waiting.
fn is_made(plan: &BoxPlan) -> bool {
    Lock::peek(&plan.locks, plan.id).is_some_and(|record| record.ready)
}

/// A box is free when nobody made it, or when its making was never finished and nobody works on it.
fn is_free(plan: &BoxPlan, lock: &Lock) -> Result<bool, Failure> {
    let exists = BoxDir::open(&plan.root, plan.id)?.is_some();
    Ok(lock.record()?.map_or(!exists, |record| !record.ready))
}
