//! `--cleanup`: removes a box.

use super::Context;
use super::boxes::{
    box_plan, busy, check_known_owner, check_owner, mounts_in, remove, remove_at_rest, removing,
    settle,
};
use crate::answer::Answer;
use crate::box_dir::{Absent, BoxDir, Lock};
use crate::failure::Failure;
use crate::home;

/// Removes a box, whatever state it is in. That there is none is no error.
pub(super) fn cleanup(context: Context<'_>) -> Result<Answer, Failure> {
    let wait = context.common().wait;
    let plan = box_plan(context)?;
    check_known_owner(&plan, context)?;
    // After a reboot the locks are gone, but not the boxes.
    let absent = match BoxDir::open(&plan.root, plan.id) {
        Ok(None) => Absent::Report,
        _ => Absent::Create,
    };
    let Some(lock) = Lock::acquire(&plan.locks, plan.id, absent, busy(wait))? else {
        log::info!("Nothing to do -- box did not exist");
        return Ok(Answer::default());
    };
    let record = match lock.record() {
        Ok(Some(record)) => {
            check_owner(&record, context)?;
            settle(&record)?;
            Some(record)
        }
        Ok(None) => None,
        // What cannot be read names no owner; only root may take it away then.
        Err(error) if context.asked.caller.uid != 0 => return Err(error.into()),
        Err(_) => None,
    };
    // A manager that cannot be had any more has left nothing that we could remove.
    let place = context.place().ok();
    let (ids, mounts) = (
        record.map(|record| record.ids),
        mounts_in(record.as_ref(), context),
    );
    let how = removing(record.as_ref(), mounts);
    let is_at_rest = record.is_some_and(|record| !record.running);
    // A batch makes a box anew where it needs another.
    if !is_at_rest || context.asked.of_batch {
        remove(&plan, &lock, ids, place.as_ref(), how)?;
        return Ok(Answer::default());
    }
    let kept = lock.kept();
    let removed = remove_at_rest(&plan, &lock, ids, place.as_ref(), how);
    // It waits from now on, and nobody has the box yet.
    kept.into_iter().for_each(home::retire);
    removed.map(|()| Answer::default())
}
