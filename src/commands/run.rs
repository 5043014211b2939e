//! `--run`: one program in a box that was made before.

use super::boxes::{box_plan, busy, check_known_owner, check_owner, settle};
use super::one_run::{BoxRun, plan_run, take_over_signals};
use super::{Ahead, Context, Done};
use crate::box_dir::{Absent, BoxDir, Lock, Record, SpecialFiles};
use crate::failure::Failure;
use crate::report::status_line;
use crate::request::{ProgramRequest, RunKind};

/// Runs the program.
pub(super) fn run(
    context: Context<'_>,
    program: &ProgramRequest,
    ahead: &mut Ahead,
) -> Result<Done, Failure> {
    let (cg, wait) = (context.common().cg, context.common().wait);
    let box_plan = box_plan(context)?;
    check_known_owner(&box_plan, context)?;
    let lock = Lock::acquire(&box_plan.locks, box_plan.id, Absent::Report, busy(wait))?;
    let not_found = || {
        let cg = if cg { " --cg" } else { "" };
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
    if record.cg != cg {
        return Err(Failure::new(
            "This box was initialized with an incompatible control group mode",
        ));
    }
    let box_dir = BoxDir::open(&box_plan.root, box_plan.id)?.ok_or_else(not_found)?;
    let place = context.place()?;
    let plan = plan_run(context, RunKind::Run, program, place, box_plan.id)?;
    let record = take_up(&box_dir, record, plan.special_files)?;
    let signals = take_over_signals(context)?;
    let mut finished = BoxRun {
        context,
        box_plan: &box_plan,
        box_dir: &box_dir,
        lock: &lock,
        record,
        signals: &signals,
        keep_ready: context.asked.settings.cgroup.keep_ready,
    }
    .run(plan, ahead)?;
    finished.leave_ready(&lock);
    let report = &finished.report;
    let (line, code) = (status_line(report), report.verdict().exit_code());
    Ok(finished.tell(context, line, code))
}

/// Gives the files of a box back whose keeper was killed. Its owner, with whose rights the
/// directories in it are opened, could not get in.
fn take_up(box_dir: &BoxDir, record: Record, special: SpecialFiles) -> Result<Record, Failure> {
    if record.running {
        box_dir.give_back(record.ids, record.owner, special)?;
    }
    Ok(Record {
        running: false,
        ..record
    })
}
