//! The box of a batch after the last run of a job: it is made anew for the next one by the process
//! that has it, instead of by a command of its own.

use super::Context;
use super::boxes::{may_init, mounts_in, removing};
use super::finished::Finished;
use super::run::Made;
use crate::box_dir::{BoxDir, Record};
use crate::failure::Failure;

/// Makes the box anew, with the ids and the quota that it has, if that is wanted; whether it was.
/// Otherwise the next job has it made by `--init`, which says what does not work.
pub(super) fn renew(context: Context<'_>, made: &Made, finished: &Finished) -> Option<BoxDir> {
    if !context.asked.renews || finished.has_failed() || may_init(context).is_err() {
        return None;
    }
    make(context, made)
        .inspect_err(|failure| log::info!("the box is not made anew: {failure}"))
        .ok()
        .flatten()
}

fn make(context: Context<'_>, made: &Made) -> Result<Option<BoxDir>, Failure> {
    let Made {
        box_plan,
        lock,
        record,
    } = made;
    let Some(record) = lock.renew(box_plan.pool, *record)? else {
        return Ok(None);
    };
    let mounts = mounts_in(Some(&made.record), context);
    let how = removing(Some(&made.record), mounts);
    BoxDir::remove(&box_plan.root, box_plan.id, how)?;
    let box_dir = BoxDir::create(&box_plan.root, box_plan.id, record.owner)?;
    let ready = Record {
        ready: true,
        ..record
    };
    lock.write(&ready, None)?;
    Ok(Some(box_dir))
}
