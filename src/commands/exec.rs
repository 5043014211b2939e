//! `exec`: a box for one run, and then no more.

use std::ffi::OsString;

use super::box_run::BoxRun;
use super::boxes::{busy, may_init, remove_traces, settle};
use super::{Answer, Context, Failure, Results};
use crate::box_dir::{Absent, BoxDir, Busy, Lock, LockError, Record};
use crate::cgroup::find_place;
use crate::keeper::Signals;
use crate::plan::{BoxPlan, RunPlan};
use crate::quantity::BoxId;
use crate::report::{Ending, summary};

/// Runs the program in a box of its own.
pub(crate) fn exec(context: &Context) -> Result<(Answer, Results), Failure> {
    let Context {
        request,
        settings,
        caller,
        ..
    } = context;
    may_init(context)?;
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let place = find_place(&settings.cgroup)?;
    let (box_plan, mut lock) = take_box(context)?;
    // Not before: a wait for a busy box can be interrupted. Not later: from here on there is a box.
    let signals = Signals::take_over()?;
    let plan = RunPlan::resolve(request, settings, place.clone(), box_plan.id, &environment)?;
    // Never marked as ready: if we are killed, the next exec sees that nobody will come back for it.
    let record = Record {
        owner: caller.owner(),
        cg: plan.cg,
        ready: false,
        running: false,
    };
    if let Some(before) = lock.record()? {
        settle(&before, &box_plan)?;
    }
    lock.write(&record)?;
    let finished = remove_traces(&box_plan, Some(&place)).and_then(|()| {
        let box_dir = BoxDir::create(&box_plan.root, box_plan.id, record.owner)?;
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
    let removed = remove_traces(&box_plan, Some(&place)).and_then(|()| Ok(lock.clear()?));
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
    Ok((answer, Results::of_run(&finished)))
}

/// Takes the box that was asked for, or a free one, from the highest number down: people and judges who
/// number their boxes begin at 0.
fn take_box(context: &Context) -> Result<(BoxPlan, Lock), Failure> {
    let boxes = &context.settings.boxes;
    if let Some(id) = context.request.box_id {
        let plan = BoxPlan::resolve(id, boxes)?;
        let lock = Lock::acquire(&plan.locks, id, Absent::Create, busy(context.request.wait))?;
        return match lock {
            Some(lock) if is_free(&plan, &lock)? => Ok((plan, lock)),
            _ => Err(Failure::new(format!(
                "box {id} is in use: it was made by --init; choose another, or remove it by --cleanup --box-id={id}"
            ))),
        };
    }
    let mut unusable = None;
    for id in (0..boxes.count).rev().map(BoxId) {
        let plan = BoxPlan::resolve(id, boxes)?;
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
    match Lock::acquire(&plan.locks, plan.id, Absent::Create, Busy::Refuse) {
        Ok(Some(lock)) if is_free(plan, &lock)? => Ok(Some(lock)),
        Ok(_) | Err(LockError::Busy) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A box is free when nobody made it, or when its making was never finished and nobody works on it.
fn is_free(plan: &BoxPlan, lock: &Lock) -> Result<bool, Failure> {
    let exists = BoxDir::open(&plan.root, plan.id)?.is_some();
    Ok(lock.record()?.map_or(!exists, |record| !record.ready))
}
