//! `--run`: one program in a box that was made before.

use super::box_run::BoxRun;
use super::boxes::{box_plan, busy, check_known_owner, check_owner, settle};
use super::{Context, results_of};
use crate::answer::{Answer, Results};
use crate::box_dir::{Absent, BoxDir, Lock, Record, SpecialFiles};
use crate::failure::Failure;
use crate::keeper::Signals;
use crate::plan::RunPlan;
use crate::report::{Ending, status_line};

/// Runs the program.
pub(crate) fn run(context: &Context) -> Result<(Answer, Results), Failure> {
    let Context {
        request,
        settings,
        environment,
        ..
    } = context;
    let box_plan = box_plan(context)?;
    check_known_owner(&box_plan, context)?;
    let lock = Lock::acquire(
        &box_plan.locks,
        box_plan.id,
        Absent::Report,
        busy(request.wait),
    )?;
    let not_found = || {
        let cg = if request.cg { " --cg" } else { "" };
        Failure::new(format!("Box not found, did you run `isolate{cg} --init'?"))
    };
    let lock = lock.ok_or_else(not_found)?;
    let record = lock.record()?.ok_or_else(not_found)?;
    check_owner(&record, context)?;
    settle(&record)?;
    if !record.ready {
        return Err(Failure::new("This box was not initialized properly"));
    }
    if !lock.holds(record.ids)? {
        return Err(Failure::new(
            "The ids of this box are not leased to it any more: make it anew by --init",
        ));
    }
    if record.cg != request.cg {
        return Err(Failure::new(
            "This box was initialized with an incompatible control group mode",
        ));
    }
    let box_dir = BoxDir::open(&box_plan.root, box_plan.id)?.ok_or_else(not_found)?;
    let place = context.place()?;
    let plan = RunPlan::resolve(request, settings, place, box_plan.id, environment)?;
    let record = take_up(&box_dir, record, plan.special_files)?;
    let signals = Signals::take_over(context.line.as_ref())
        .map_err(Failure::at("cannot take over the signals of this process"))?;
    let finished = BoxRun {
        context,
        box_plan: &box_plan,
        box_dir: &box_dir,
        lock: &lock,
        record,
        signals: &signals,
    }
    .run(plan)?;
    let report = &finished.report;
    let verdict = report.verdict();
    let quiet = request.silent && !matches!(report.ending, Ending::Failed(_));
    let answer = Answer {
        stderr: (!quiet).then(|| status_line(report)),
        code: verdict.exit_code(),
        ..Answer::default()
    };
    Ok((answer, results_of(&finished)))
}

/// Gives the files of a box back whose keeper was killed. Its owner, with whose rights the directories in it are opened,
/// could not get in.
fn take_up(box_dir: &BoxDir, record: Record, special: SpecialFiles) -> Result<Record, Failure> {
    if record.running {
        box_dir.give_back(record.ids, record.owner, special)?;
    }
    Ok(Record {
        running: false,
        ..record
    })
}
