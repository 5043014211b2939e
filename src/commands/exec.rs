//! `exec`: a box for one run, and then no more.

use super::box_run::BoxRun;
use super::boxes::{claim, create, may_init, remove, remove_traces, settle};
use super::free_box::take_box;
use super::{Context, results_of};
use crate::answer::{Answer, Results};
use crate::failure::Failure;
use crate::keeper::Signals;
use crate::plan::RunPlan;
use crate::report::{Ending, summary};

/// Runs the program in a box of its own.
pub(crate) fn exec(context: &Context) -> Result<(Answer, Results), Failure> {
    let Context {
        request,
        settings,
        environment,
        ..
    } = context;
    may_init(context)?;
    let place = context.place()?;
    let (box_plan, lock) = take_box(context)?;
    // Not before: a wait for a busy box can be interrupted. Not later: from here on there is a box.
    let signals = Signals::take_over(context.line.as_ref())
        .map_err(Failure::at("cannot take over the signals of this process"))?;
    let plan = RunPlan::resolve(request, settings, place.clone(), box_plan.id, environment)?;
    let before = lock.record()?;
    if let Some(before) = &before {
        settle(before)?;
    }
    // Never marked as ready: if we are killed, the next exec sees that nobody will come back for it.
    let record = claim(context, &box_plan, &lock, before, plan.cg, &place)?;
    let ids = record.ids;
    let finished = remove_traces(&box_plan, Some(&place), Some(ids)).and_then(|()| {
        let box_dir = create(&box_plan, &record, None)?;
        let run = BoxRun {
            context,
            box_plan: &box_plan,
            box_dir: &box_dir,
            lock: &lock,
            record,
            signals: &signals,
        };
        run.run(plan)
    });
    let removed = remove(&box_plan, &lock, Some(ids), Some(&place));
    let mut finished = finished?;
    if let (Err(failure), false) = (removed, matches!(finished.report.ending, Ending::Failed(_))) {
        finished.report.ending = Ending::Failed(failure.to_string());
    }
    let quiet = request.silent && !matches!(finished.report.ending, Ending::Failed(_));
    let answer = Answer {
        stderr: (!quiet).then(|| summary::line(&finished.report, &finished.circumstances.holder())),
        code: summary::exit_code(&finished.report),
        ..Answer::default()
    };
    Ok((answer, results_of(&finished)))
}
