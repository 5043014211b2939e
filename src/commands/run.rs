//! `--run`: one program in a box that was made before.

use super::boxes::{box_plan, busy, check_known_owner, check_owner, settle};
use super::finished::Finished;
use super::lease::lease_cpus;
use super::next_scope::keep_ready;
use super::one_run::{BoxRun, plan_run};
use super::renew::renew;
use super::{Ahead, Context, Done, take_over_signals};
use crate::box_dir::{Absent, BoxDir, Handover, Lock, Record, SpecialFiles};
use crate::failure::Failure;
use crate::home::Left;
use crate::plan::BoxPlan;
use crate::report::status_line;
use crate::request::{ProgramRequest, RunKind};

/// Runs the program.
pub(super) fn run(
    context: Context<'_>,
    program: &ProgramRequest,
    ahead: &mut Ahead,
) -> Result<Done, Failure> {
    let made = Made::open(context, not_found(context))?;
    if made.record.cg != context.common().cg {
        return Err(Failure::new(
            "This box was initialized with an incompatible control group mode",
        ));
    }
    let mut finished = made.run(context, RunKind::Run, program, ahead)?;
    let renewed = renew(context, &made, &finished);
    finished.leave_ready(&made.lock);
    let report = &finished.report;
    let (line, code) = (status_line(report), report.verdict().exit_code());
    let mut done = finished.tell(context, line, code);
    // As --init does.
    let path = renewed.map(|box_dir| format!("{}\n", box_dir.path().display()));
    done.answer.stdout.extend(path);
    Ok(done)
}

/// What isolate says when there is no such box.
fn not_found(context: Context<'_>) -> impl Fn() -> Failure {
    let cg = if context.common().cg { " --cg" } else { "" };
    move || Failure::new(format!("Box not found, did you run `isolate{cg} --init'?"))
}

/// A box that was made before, and is locked.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) box_plan: BoxPlan,
    pub(super) lock: Lock,
    pub(super) record: Record,
}

impl Made {
    /// Finds the box of the request, which the caller may use.
    pub(super) fn open(
        context: Context<'_>,
        not_found: impl Fn() -> Failure,
    ) -> Result<Self, Failure> {
        let wait = context.common().wait;
        let box_plan = box_plan(context)?;
        check_known_owner(&box_plan, context)?;
        let lock = Lock::acquire(&box_plan.locks, box_plan.id, Absent::Report, busy(wait))?;
        let lock = lock.ok_or_else(&not_found)?;
        let record = lock.record()?.ok_or_else(&not_found)?;
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
        Ok(Self {
            box_plan,
            lock,
            record,
        })
    }

    /// Runs a program in it.
    pub(super) fn run(
        &self,
        context: Context<'_>,
        kind: RunKind,
        program: &ProgramRequest,
        ahead: &mut Ahead,
    ) -> Result<Finished, Failure> {
        let Self {
            box_plan,
            lock,
            record,
        } = self;
        let box_dir = BoxDir::open(&box_plan.root, box_plan.id)?;
        let box_dir = box_dir.ok_or_else(not_found(context))?;
        let place = context.place()?;
        // Before the signals are taken over: a wait for CPUs can be interrupted.
        let lease = lease_cpus(context, &place, box_plan.id)?;
        let plan = plan_run(context, kind, program, place, box_plan.id, lease.as_ref())?;
        let record = take_up(&box_dir, *record, plan.special_files)?;
        let signals = take_over_signals(context)?;
        let mut finished = BoxRun {
            context,
            box_plan,
            box_dir: &box_dir,
            lock,
            lease: lease.as_ref(),
            record,
            signals: &signals,
            left: Left::Noted(lock.kept()),
            keep_ready: keep_ready(context),
        }
        .run(plan, ahead)?;
        finished.end_lease(lease);
        Ok(finished)
    }
}

/// Gives the files of a box back whose keeper was killed, whatever they were for the program. Its
/// owner, with whose rights the directories in it are opened, could not get in.
fn take_up(box_dir: &BoxDir, record: Record, special: SpecialFiles) -> Result<Record, Failure> {
    if record.running {
        let back = |how| box_dir.give_back(how, record.ids, record.owner, special);
        back(Handover::Given)?;
        // Where they were mapped, directories may have lists that the program made: those whom it
        // let in.
        if record.owner.uid != 0 {
            back(Handover::IdMapped)?;
        }
    }
    Ok(Record {
        running: false,
        ..record
    })
}
