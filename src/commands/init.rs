//! `--init`: makes a box.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use super::boxes::{
    box_plan, busy, check_known_owner, check_not_anothers, check_number, check_owner, claim,
    create, may_init, mounts_in, remove, removing, settle,
};
use super::free_box::take_any;
use super::next_scope::keep_ready;
use super::{Asked, Context};
use crate::answer::Answer;
use crate::box_dir::{Absent, BoxDir, Busy, Lock, LockError, Record};
use crate::failure::Failure;
use crate::home::{self, Successor};
use crate::plan::{require_cg, scope_of};
use crate::request::{BoxChoice, Common};
use crate::sys::descriptors::put_on_streams;
use crate::sys::process::inheritable_descriptors;

/// Makes a box, or makes it anew; prints its path.
pub(super) fn init(context: Context<'_>) -> Result<Answer, Failure> {
    let Common {
        box_id, cg, wait, ..
    } = *context.common();
    may_init(context)?;
    let place = context.place()?;
    if cg {
        require_cg(&place)?;
    }
    let (plan, lock, before) = match box_id {
        Some(BoxChoice::Auto) => {
            let (plan, lock) = take_any(context)?;
            // A record in there is nobody's: its box was never finished, and nothing runs there.
            let before = lock.record()?;
            (plan, lock, before)
        }
        _ => {
            let plan = box_plan(context)?;
            check_number(plan.id, context)?;
            check_known_owner(&plan, context)?;
            let acquire = |busy| Lock::acquire(&plan.locks, plan.id, Absent::Create, busy);
            let lock = match acquire(Busy::Refuse) {
                Err(LockError::Busy) => {
                    // Nobody waits for a box in use that they may not make anew.
                    if let Some(record) = Lock::peek(&plan.locks, plan.id) {
                        check_not_anothers(plan.id, &record, context)?;
                    }
                    acquire(busy(wait))
                }
                other => other,
            };
            let vanished = || Failure::new("the lock file of the box vanished");
            let lock = lock?.ok_or_else(vanished)?;
            let before = lock.record()?;
            if let Some(record) = &before {
                check_owner(record, context)?;
                check_not_anothers(plan.id, record, context)?;
                settle(record)?;
            }
            (plan, lock, before)
        }
    };
    let as_before = before.filter(|before| stays(before, context));
    let kept = as_before.and_then(|_| home::still_kept(&lock));
    if kept.is_none() && before.is_some() {
        home::dismiss(&lock);
    }
    let settings = &context.asked.settings;
    let (seconds, uid) = (keep_ready(context), context.asked.caller.uid);
    let next = scope_of(settings, &place, plan.id, uid, cg).filter(|_| seconds > 0);
    // That of a box with this number that was removed a moment ago. A batch keeps its own for
    // longer.
    let is_new = before.is_none_or(|before| !before.ready) && !context.asked.of_batch;
    let removed = next.as_ref().filter(|_| is_new);
    let kept = kept.or_else(|| removed.and_then(home::take_on));
    let next = next.filter(|_| kept.is_none() && has_let_go(context));
    let successor = next.and_then(|next| Successor::make(&next, seconds, &lock));
    let renewed = as_before.filter(|_| context.asked.of_batch);
    let renewed = renewed.map_or(Ok(None), |before| lock.renew(plan.pool, before));
    let claimed = match renewed {
        Ok(Some(record)) => Ok(record),
        Ok(None) => claim(context, &plan, &lock, before, cg, &place),
        Err(error) => Err(error.into()),
    };
    let record = claimed.inspect_err(|_| kept.into_iter().for_each(home::dismiss_kept))?;
    let how = removing(before.as_ref(), mounts_in(before.as_ref(), context));
    let quota = context.asked.granted.quota();
    let made = create(&plan, &place, &record, before, how, quota).and_then(|box_dir| {
        let ready = Record {
            ready: true,
            ..record
        };
        lock.write(&ready, kept)?;
        Ok(box_dir)
    });
    if made.is_err() {
        kept.into_iter().for_each(home::dismiss_kept);
        // What failed is what there is to tell.
        drop(remove(&plan, &lock, Some(record.ids), Some(&place), how));
    }
    let box_dir = made?;
    if let Some(successor) = successor {
        successor.stay(&lock);
    }
    let answer = Answer::tell(format!("{}\n", box_dir.path().display()));
    Ok(Answer {
        stderr: box_dir.forbids_programs().then(|| no_exec(&box_dir)),
        ..answer
    })
}

/// Whether a box is made anew as it was: whoever keeps a scope for its runs goes on.
fn stays(before: &Record, context: Context<'_>) -> bool {
    let Asked { caller, .. } = context.asked;
    let is_same = before.owner.uid == caller.uid && before.cg == context.common().cg;
    is_same && before.ready && !before.running
}

/// What is wrong with a box in which no program can be executed, though all else works.
fn no_exec(box_dir: &BoxDir) -> String {
    format!(
        "isolate-run: '{}' is on a file system that is mounted noexec: no program in the box can be executed; mount it \
         with exec, or put the boxes elsewhere ([boxes] root)",
        box_dir.path().display()
    )
}

/// Lets go of the streams of a user, who needs none of them here. Whether nothing of theirs is open
/// then.
fn has_let_go(context: Context<'_>) -> bool {
    if context.by_broker.is_none() {
        return true;
    }
    let let_go = || -> io::Result<bool> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        put_on_streams(null.as_fd())?;
        Ok(inheritable_descriptors()?.is_empty())
    };
    let_go().unwrap_or(false)
}
