//! `kill`: ends the run that goes on in a box.

use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::boxes::{box_plan, check_owner};
use super::{Context, Done};
use crate::answer::Answer;
use crate::box_dir::{Sight, sight_of};
use crate::chronicle::Told;
use crate::failure::Failure;
use crate::status::look;
use crate::sys::process;
use crate::user::Who;
use crate::way;

/// How long a keeper may take to end its run.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a run may be about to begin, or nearly over, before its box is taken for one in which
/// another command is at work.
const EDGE: Duration = Duration::from_secs(1);
/// The time between two looks at whether it has.
const LOOK: Duration = Duration::from_millis(10);

/// Tells the keeper to end its run, and waits until that is over: the run is told as interrupted,
/// as when its caller had ended it.
pub(super) fn kill(context: Context<'_>) -> Result<Done, Failure> {
    let plan = box_plan(context)?;
    let id = plan.id;
    let look_at = || sight_of(&plan.locks, id);
    let sight = look_at().ok_or_else(|| Failure::new(format!("there is no box {id}")))?;
    check_owner(&sight.record, context)?;
    let keeper = |sight: &Sight| sight.locked_by.filter(|_| sight.record.running);
    let nothing = || Failure::new(format!("no program runs in box {id}"));
    let pid = keeper(&sight).ok_or_else(nothing)?;
    // After a keeper that was killed the record still tells of a run: whoever has the lock then
    // cleans up, and must not be disturbed.
    let edge = Instant::now() + EDGE;
    while !look::keeps_a_run(pid) {
        if Instant::now() >= edge || look_at().as_ref().and_then(keeper) != Some(pid) {
            return Err(nothing());
        }
        sleep(LOOK);
    }
    let pidfd = process::pidfd_of(pid).map_err(|_| nothing())?;
    // The number was its own when it was seen again, and so is the descriptor.
    let again = look_at().filter(|again| keeper(again) == Some(pid));
    let again = again.filter(|again| again.record.owner == sight.record.owner);
    again.ok_or_else(nothing)?;
    let failed = Failure::at("cannot send a signal to the keeper of the run");
    process::send_signal(pidfd.as_fd(), libc::SIGTERM).map_err(failed)?;
    let end = Instant::now() + PATIENCE;
    while look_at().as_ref().and_then(keeper) == Some(pid) {
        if Instant::now() >= end {
            return Err(Failure::new(format!(
                "the keeper of the run in box {id}, process {pid}, was told to end it and has not done so"
            )));
        }
        sleep(LOOK);
    }
    let owner = Who(way::outside(sight.record.owner.uid));
    Ok(Done {
        told: Told::Did(format!("ended the run in box {id} of {owner}")),
        ..Done::from(Answer::tell(format!("ended the run in box {id}\n")))
    })
}
