//! `exec`: a box for one run, and then no more.

use std::path::Path;

use super::boxes::{claim, create, may_init, mounts_in, remove, removing};
use super::enter::enter;
use super::free_box::{is_made, take_box};
use super::lease::lease_cpus;
use super::next_scope::keep_ready;
use super::one_run::{BoxRun, plan_run};
use super::{Ahead, Context, Done, take_over_signals};
use crate::box_dir::{Mounts, Record};
use crate::failure::Failure;
use crate::home::Left;
use crate::plan::{BoxPlan, check_of_exec};
use crate::report::summary;
use crate::request::{BoxChoice, ProgramRequest, RunKind};

/// What becomes of the box after the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is removed.
    GivenBack,
    /// It stays, as if `--init` had made it: `--keep`.
    Kept,
}

/// Runs the program in a box of its own.
pub(super) fn exec(
    context: Context<'_>,
    program: &ProgramRequest,
    fate: Fate,
    ahead: &mut Ahead,
) -> Result<Done, Failure> {
    if fate == Fate::Kept && is_there(context) {
        return enter(context, program, ahead);
    }
    may_init(context)?;
    let place = context.place()?;
    let (box_plan, lock) = take_box(context)?;
    let lease = lease_cpus(context, &place, box_plan.id)?;
    // Not before: a wait for a busy box, or for CPUs, can be interrupted. Not later: from here on
    // there is a box.
    let signals = take_over_signals(context)?;
    let plan = plan_run(
        context,
        RunKind::Exec,
        program,
        place.clone(),
        box_plan.id,
        lease.as_ref(),
    )?;
    if fate == Fate::GivenBack {
        check_of_exec(program, &plan.directories)?;
    }
    let left = match has_number(context) {
        true => NOBODY,
        false => Left::Anywhere,
    };
    let before = lock.record()?;
    let mounts = mounts_in(before.as_ref(), context);
    let how = removing(before.as_ref(), mounts);
    // Not marked as ready: if we are killed, the next exec sees that nobody will come back for it.
    let record = claim(
        context,
        &box_plan,
        &lock,
        before,
        plan.leaf.controlled,
        &place,
    )?;
    let made = create(&box_plan, &place, &record, before, how, None);
    let mut finished = made.and_then(|box_dir| {
        let record = match fate {
            Fate::GivenBack => record,
            Fate::Kept => Record {
                ready: true,
                ..record
            },
        };
        let run = BoxRun {
            context,
            box_plan: &box_plan,
            box_dir: &box_dir,
            lock: &lock,
            lease: lease.as_ref(),
            record,
            signals: &signals,
            left,
            keep_ready: match (fate, left) {
                (Fate::GivenBack, NOBODY) => 0,
                _ => keep_ready(context),
            },
        };
        run.run(plan, ahead)
    });
    if let Ok(finished) = &mut finished {
        finished.end_lease(lease);
    }
    let stays = fate == Fate::Kept && finished.is_ok();
    let removed = match stays {
        true => {
            if let Ok(finished) = &mut finished {
                finished.leave_ready(&lock);
            }
            Ok(())
        }
        // Nobody comes back for what was mounted in there, either.
        false => {
            // Where the run failed, files may be the program's still.
            let at_rest = finished
                .as_ref()
                .is_ok_and(|finished| !finished.has_failed());
            let at_rest = at_rest.then_some(&record);
            let how = removing(at_rest, Mounts::Detach);
            remove(&box_plan, &lock, Some(record.ids), Some(&place), how)
        }
    };
    let mut finished = finished?;
    if let Err(failure) = removed {
        finished.fail(&failure);
    }
    finished.leave_without_box();
    let mut line = summary::line(&finished.report, &finished.circumstances);
    if stays {
        line = format!(
            "{line}\n{}",
            kept_box(&box_plan.root.join(box_plan.id.to_string()))
        );
    }
    let code = summary::exit_code(&finished.report);
    Ok(finished.tell(context, line, code))
}

/// No scope is left for a run in this box, and none is kept.
const NOBODY: Left = Left::Noted(None);

/// Whether a number was asked for. One that nobody chose is the next call's as well, with what this
/// one leaves; others would be as many as there are numbers.
fn has_number(context: Context<'_>) -> bool {
    matches!(context.common().box_id, Some(BoxChoice::Number(_)))
}

/// Whether the box that was asked for was made before.
fn is_there(context: Context<'_>) -> bool {
    let Some(BoxChoice::Number(id)) = context.common().box_id else {
        return false;
    };
    is_made(&BoxPlan::new(id, &context.asked.settings.boxes))
}

/// What to do with a box that stays, whose path this is.
pub(crate) fn kept_box(place: &Path) -> String {
    let id = place.file_name().unwrap_or_default().to_string_lossy();
    let files = place.display();
    format!(
        "isolate-run: kept box {id}: files are in {files}/box
             to go in:      isolate-run shell {id}
             to remove it:  isolate-run --cleanup --box-id={id}"
    )
}
