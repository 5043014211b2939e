//! How the way of a job ends: with a result that is kept, published and only then acknowledged, or
//! with the job in another machine's hands.

use async_nats::jetstream::AckKind;
use isolate_run_client::{FORMAT, FleetOutcome, FleetResult, Times};

use crate::carry::{Blame, End, Name};
use crate::decide::Errors;
use crate::failure::Failure;
use crate::health::Works;
use crate::lease::Lease;
use crate::names;
use crate::past::{self, remember};
use crate::spool::Letter;
use crate::station::{Station, lock, now};
use crate::trouble::NOTHING_WORKS;
use crate::{courier, fail, health};

/// Does what the end asks for.
pub(crate) async fn finish(
    station: &Station,
    lease: Lease,
    name: Name,
    times: Times,
    end: End,
    payload: &[u8],
) {
    match end {
        // The earlier delivery holds the lease, which is the same one.
        End::UnderWay => log::info!("job {} is under way here already", name.id),
        End::Later => {
            let (id, delivery) = (&name.id, name.delivery);
            let reason = "another job has its last try here";
            log::info!("job {id} delivery {delivery} waits: {reason}");
            note(station, &name, reason, false).await;
            let delay = station.settings.jobs.retry_after.0;
            lease.end(AckKind::Nak(Some(delay))).await;
        }
        End::Known => {
            log::info!("job {} has a result already", name.id);
            forget(&lease, &name.id).await;
        }
        End::Retry { reason, blame } => {
            let begun = times.begun.unwrap_or(times.received);
            give_back(station, &lease, &name, begun, &reason, blame).await;
        }
        End::HandOn {
            reason,
            errors,
            leaves,
        } => leave_to_newer(station, &lease, &name, &reason, &errors, leaves).await,
        End::Result(outcome, reason, result) => {
            if outcome == FleetOutcome::Done {
                lock(&station.streak).worked();
            }
            let result = FleetResult {
                format: FORMAT,
                id: name.id.clone(),
                attempt: name.attempt,
                delivery: name.delivery,
                outcome,
                reason,
                trace: name.trace.clone(),
                result: result.map(|result| *result),
                stored: None,
                machine: station.machine.clone(),
                times,
            };
            deliver(station, &lease, &name, result, payload).await;
        }
    }
}

/// Keeps a result, publishes it, and has the queue forget its job.
async fn deliver(
    station: &Station,
    lease: &Lease,
    name: &Name,
    result: FleetResult,
    payload: &[u8],
) {
    let (outcome, times) = (result.outcome, result.times.clone());
    let reason = result.reason.clone();
    let letter = Letter {
        queue: name.queue.clone(),
        result,
    };
    let spool = station.spool.clone();
    let kept = tokio::task::spawn_blocking({
        let letter = letter.clone();
        move || spool.put(&letter)
    });
    let kept = kept
        .await
        .unwrap_or_else(|error| Err(Failure::new(error.to_string())));
    if let Err(failure) = kept {
        // What cannot be kept is not said either: another machine can do both.
        let (begun, reason) = (times.received, failure.to_string());
        station.drain.begin(&reason);
        return give_back(station, lease, name, begun, &reason, Blame::Machine).await;
    }
    fail::point("spooled");
    if outcome == FleetOutcome::Poison {
        let subject = names::poison_subject(&name.queue, &name.id);
        remember(station, subject, payload.to_vec()).await;
    }
    let arrived = courier::send(&station.fleet, &letter).await;
    fail::point("published");
    forget(lease, &name.id).await;
    fail::point("acknowledged");
    station.spool.remove(&name.id);
    station.metrics.count(&name.subject, outcome, &times);
    log::info!(
        "job {} attempt {} delivery {} queue {} trace {}: {}{}; files {} ms, run {} ms{}",
        name.id,
        name.attempt,
        name.delivery,
        name.queue,
        name.trace.as_deref().unwrap_or("-"),
        outcome.name(),
        reason
            .map(|reason| format!(" ({reason})"))
            .unwrap_or_default(),
        times.begun.unwrap_or(times.ended) - times.received,
        times.begun.map_or(0, |begun| times.ended - begun),
        if arrived == courier::Arrived::AlreadyThere {
            "; it had a result already"
        } else {
            ""
        },
    );
}

/// Gives a job back, so that another machine tries.
async fn give_back(
    station: &Station,
    lease: &Lease,
    name: &Name,
    begun: u64,
    reason: &str,
    blame: Blame,
) {
    let (id, delivery) = (&name.id, name.delivery);
    log::error!("job {id} delivery {delivery} did not work: {reason}");
    let delay = station.settings.jobs.retry_after.0;
    let works = match blame {
        Blame::Unknown => Some(health::works(station).await),
        _ => None,
    };
    if let Some(works) = works {
        station.metrics.internal_errors.inc();
        let failed = lock(&station.streak).failed(id, begun, now());
        if works == Works::Never {
            let why = format!("{NOTHING_WORKS}; the first job: {reason}");
            station.drain.begin(&why);
        } else if failed >= station.settings.jobs.drain_after {
            let why = format!("{failed} different jobs in a row did not work, the last: {reason}");
            station.drain.begin(&why);
        }
    }
    // A machine on which nothing works, even if only for a moment, says nothing about a job.
    let is_the_jobs = blame == Blame::Job || works == Some(Works::AtOnce);
    note(station, name, reason, is_the_jobs).await;
    let until = now() + u64::try_from(delay.as_millis()).unwrap_or(u64::MAX) + 2000;
    lock(&station.avoid).push((name.subject.clone(), until));
    lease.end(AckKind::Nak(Some(delay))).await;
}

/// Writes down what is known of a job that is given back: that it did not work on this machine, or
/// that this was no try.
async fn note(station: &Station, name: &Name, reason: &str, is_the_jobs: bool) {
    let mut errors = match past::errors(station, name).await {
        Ok(errors) => errors,
        // What other machines wrote is not to be lost.
        Err(failure) => return log::warn!("nothing is noted of job {}: {failure}", name.id),
    };
    if is_the_jobs {
        let machine = station.machine.id.clone();
        errors.machines.insert(machine, reason.to_owned());
    } else {
        errors.blameless += 1;
        errors.had_last_try = false;
    }
    past::write(station, name, &errors).await;
}

/// For how many pauses a queue is left alone that has jobs of a newer form.
const LEAVES: u32 = 6;

/// Gives a job back that is in a newer form, without a try.
async fn leave_to_newer(
    station: &Station,
    lease: &Lease,
    name: &Name,
    reason: &str,
    errors: &Errors,
    leaves: bool,
) {
    let (id, delivery) = (&name.id, name.delivery);
    log::warn!("job {id} delivery {delivery} is left to a newer worker: {reason}");
    past::write(station, name, errors).await;
    // Longer each time: who knows it may be about to come back.
    let pauses = u32::try_from(errors.handed_on).map_or(LEAVES, |times| times.min(LEAVES));
    let delay = station.settings.jobs.retry_after.0;
    if leaves {
        let until = now() + u64::try_from((delay * LEAVES).as_millis()).unwrap_or(u64::MAX);
        lock(&station.avoid).push((name.subject.clone(), until));
    }
    lease.end(AckKind::Nak(Some(delay * pauses.max(1)))).await;
}

/// Has the queue forget a job. If that is not heard, the job comes again and has a result.
async fn forget(lease: &Lease, id: &str) {
    if let Err(error) = lease.finish().await {
        log::warn!(
            "the queue did not hear that job {id} is done ({error}); it will come again, and has a result"
        );
    }
}

/// What has no id can have no result.
pub(crate) async fn bury(
    station: &Station,
    lease: &Lease,
    name: &Name,
    payload: bytes::Bytes,
    reason: &str,
) {
    log::error!("a message of {} is no job: {reason}", name.subject);
    let subject = format!("iso.dead.nonsense.{}", name.queue);
    remember(station, subject, payload.to_vec()).await;
    lease.end(AckKind::Term).await;
}
