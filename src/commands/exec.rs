//! `exec`: a box for one run, and then no more.

use super::boxes::{claim, create, may_init, mounts_before, remove, remove_traces};
use super::free_box::take_box;
use super::one_run::{BoxRun, plan_run, take_over_signals};
use super::{Ahead, Context, Done};
use crate::box_dir::Mounts;
use crate::failure::Failure;
use crate::report::summary;
use crate::request::{ProgramRequest, RunKind};

/// Runs the program in a box of its own.
pub(super) fn exec(
    context: Context<'_>,
    program: &ProgramRequest,
    ahead: &mut Ahead,
) -> Result<Done, Failure> {
    may_init(context)?;
    let place = context.place()?;
    let (box_plan, lock) = take_box(context)?;
    // Not before: a wait for a busy box can be interrupted. Not later: from here on there is a box.
    let signals = take_over_signals(context)?;
    let plan = plan_run(context, RunKind::Exec, program, place.clone(), box_plan.id)?;
    let before = lock.record()?;
    let mounts = mounts_before(before.as_ref(), context);
    // Never marked as ready: if we are killed, the next exec sees that nobody will come back for
    // it.
    let record = claim(
        context,
        &box_plan,
        &lock,
        before,
        plan.leaf.controlled,
        &place,
    )?;
    let ids = record.ids;
    let finished = remove_traces(&box_plan, Some(&place), Some(ids), mounts).and_then(|()| {
        let box_dir = create(&box_plan, &record, None)?;
        let run = BoxRun {
            context,
            box_plan: &box_plan,
            box_dir: &box_dir,
            lock: &lock,
            record,
            signals: &signals,
            keep_ready: 0,
        };
        run.run(plan, ahead)
    });
    // Nobody comes back for what was mounted in there, either.
    let removed = remove(&box_plan, &lock, Some(ids), Some(&place), Mounts::Detach);
    let mut finished = finished?;
    if let Err(failure) = removed {
        finished.fail(&failure);
    }
    let line = summary::line(&finished.report, &finished.circumstances.holder());
    let code = summary::exit_code(&finished.report);
    Ok(finished.tell(context, line, code))
}
