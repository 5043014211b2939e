//! The way of one job through this machine: it comes, its files come, it is run, its result is kept
//! on the disk, published, and only then the queue forgets the job.

use std::sync::Arc;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::message::{Acker, Message};
use isolate_run_client::{BatchResult, FleetJob, FleetOutcome, Times};
use tokio::sync::{SemaphorePermit, mpsc};

use crate::conclude::{bury, finish};
use crate::decide::{After, Arrival, Before, Errors, after, before};
use crate::fail;
use crate::failure::Failure;
use crate::files::{self, Missing};
use crate::lease::Lease;
use crate::names::{cancel_key, queue_of, result_subject};
use crate::newer::hand_on;
use crate::past;
use crate::station::{Station, lock, now};
use crate::validate::{self, Rules, Unreadable};

/// Who a job is, for its result and for the log.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) id: String,
    pub(crate) attempt: u32,
    pub(crate) queue: String,
    pub(crate) trace: Option<String>,
    pub(crate) delivery: u64,
    pub(crate) subject: String,
}

/// Who is to blame for a job that did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    Job,
    Machine,
    /// A server did not answer, or something was away for a moment.
    Nobody,
    /// A job that must work on a machine that works says.
    Unknown,
}

/// How the way ends.
pub(crate) enum End {
    /// With this result.
    Result(FleetOutcome, Option<String>, Option<Box<BatchResult>>),
    /// Somebody else has to try.
    Retry { reason: String, blame: Blame },
    /// It is in a form that is newer than this worker. What is known of it so far, and whether this
    /// machine leaves its queue to others for a while.
    HandOn {
        reason: String,
        errors: Errors,
        leaves: bool,
    },
    /// Another job has its last try here.
    Later,
    /// There is a result already.
    Known,
    /// It is under way here, by an earlier delivery.
    UnderWay,
}

/// Carries a job out, from its message to the end.
pub(crate) async fn carry_out(station: Arc<Station>, message: Message) {
    let mut times = Times {
        received: now(),
        ..Times::default()
    };
    let delivery = message
        .info()
        .map_or(1, |info| u64::try_from(info.delivered).unwrap_or(1));
    // What comes out of a queue has one.
    let keeper = message.reply.clone().unwrap_or_else(|| "none".into());
    let (message, _) = message.split();
    let lease = Lease::hold(Arc::clone(&station), keeper);
    if delivery > 1 {
        station.metrics.redeliveries.inc();
    }
    fail::point("received");
    let sent_as = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get("Nats-Msg-Id"));
    let subject = message.subject.to_string();
    let mut name = Name {
        id: String::new(),
        attempt: 1,
        queue: queue_of(&subject).to_owned(),
        trace: None,
        delivery,
        subject,
    };
    let mut running = None;
    let end = match validate::read(&message.payload, sent_as.map(|id| id.as_str())) {
        Ok(job) => {
            times.submitted = job.submitted;
            (name.id, name.attempt, name.trace) = (job.id.clone(), job.attempt, job.trace.clone());
            let way = go(&station, &job, &name, &mut times, &mut running).await;
            way.unwrap_or_else(by_nobody)
        }
        Err(Unreadable {
            id: Some(id),
            reason,
            newer,
        }) => {
            name.id = id;
            match newer {
                None => End::Result(FleetOutcome::Refused, Some(reason), None),
                Some(newer) => {
                    times.submitted = newer.submitted;
                    (name.attempt, name.trace) = (newer.attempt, newer.trace.clone());
                    let way = hand_on(&station, &name, &newer, reason).await;
                    way.unwrap_or_else(by_nobody)
                }
            }
        }
        Err(Unreadable {
            id: None, reason, ..
        }) => {
            return bury(&station, &lease, &name, message.payload, &reason).await;
        }
    };
    times.ended = now();
    fail::point("ended");
    finish(&station, lease, name, times, end, &message.payload).await;
}

/// The server did not answer: somebody else has to try.
fn by_nobody(failure: Failure) -> End {
    End::Retry {
        reason: failure.to_string(),
        blame: Blame::Nobody,
    }
}

/// What is known of a job that was here or elsewhere before; none if it has a result.
///
/// # Errors
///
/// The server does not answer.
pub(crate) async fn known(station: &Station, name: &Name) -> Result<Option<Errors>, Failure> {
    if name.delivery == 1 && name.attempt == 1 {
        return Ok(Some(Errors::default()));
    }
    let subject = result_subject(&name.queue, &name.id);
    if past::found(&station.fleet.results, &subject)
        .await?
        .is_some()
    {
        return Ok(None);
    }
    past::errors(station, name).await.map(Some)
}

/// A job that has just come.
pub(crate) fn arrival<'a>(
    station: &Station,
    name: &Name,
    not_after: Option<u64>,
    errors: &'a Errors,
) -> Arrival<'a> {
    Arrival {
        delivery: name.delivery,
        now: station.now_of_fleet(),
        not_after,
        is_cancelled: lock(&station.cancelled).contains(&cancel_key(&name.queue, &name.id)),
        errors,
        max_deliveries: station.settings.jobs.max_deliveries,
    }
}

/// From a job to how it ends.
async fn go<'a>(
    station: &'a Station,
    job: &FleetJob,
    name: &Name,
    times: &mut Times,
    running: &mut Option<Running<'a>>,
) -> Result<End, Failure> {
    let rules = Rules {
        pool: &station.settings.machine.pool,
        allow: &station.settings.allow,
    };
    if let Err(reason) = validate::check(job, &name.queue, &rules) {
        return Ok(End::Result(FleetOutcome::Refused, Some(reason), None));
    }
    let Some(errors) = known(station, name).await? else {
        return Ok(End::Known);
    };
    let arrival = arrival(station, name, job.not_after, &errors);
    // Until there is a result: what comes twice is not run twice here.
    *running = Running::begin(station, &name.queue, &job.id);
    let Some(running) = running else {
        return Ok(End::UnderWay);
    };
    if let Before::Result(outcome, reason) = before(arrival) {
        return Ok(End::Result(outcome, Some(reason), None));
    }
    if arrival.is_last_try() {
        match last_try(station, name, &errors).await {
            Ok(alone) => running.alone = Some(alone),
            Err(end) => return Ok(end),
        }
    }
    let job = job.job();
    fail::job(&job.id);
    let _in_use = match files::fetch(station, &name.queue, &job).await {
        Ok(entries) => entries,
        Err(Missing::TooLarge(reason)) => {
            return Ok(End::Result(FleetOutcome::Refused, Some(reason), None));
        }
        Err(Missing::NotInStore(reason)) => {
            return Ok(End::Retry {
                reason,
                blame: Blame::Job,
            });
        }
        Err(Missing::Away(reason)) => {
            return Ok(End::Retry {
                reason,
                blame: Blame::Nobody,
            });
        }
        Err(Missing::Disk(reason)) => {
            station.drain.begin(&reason);
            return Ok(End::Retry {
                reason,
                blame: Blame::Machine,
            });
        }
    };
    times.files_ready = Some(now());
    fail::point("files");
    times.begun = Some(now());
    let ended = station.batches.run(&job, &mut running.orders).await;
    Ok(match after(ended.answer, ended.cancelled_for) {
        After::Result(outcome, reason, result) => End::Result(outcome, reason, result),
        After::Retry(reason) => End::Retry {
            reason,
            blame: Blame::Unknown,
        },
    })
}

/// Writes down that the last try begins. Where another job has its own, it does not begin, whatever
/// that one does to this process; nor does it where it cannot be written down.
async fn last_try<'a>(
    station: &'a Station,
    name: &Name,
    errors: &Errors,
) -> Result<SemaphorePermit<'a>, End> {
    let alone = station.last_tries.try_acquire();
    let alone = alone.map_err(|_| End::Later)?;
    let errors = Errors {
        had_last_try: true,
        ..errors.clone()
    };
    if !past::write(station, name, &errors).await {
        return Err(End::Retry {
            reason: "it cannot be written down that its last try begins".into(),
            blame: Blame::Nobody,
        });
    }
    let (id, delivery) = (&name.id, name.delivery);
    log::info!("job {id} delivery {delivery} begins its last try");
    Ok(alone)
}

/// A job that is under way here, for as long as this is there.
struct Running<'a> {
    station: &'a Station,
    id: String,
    /// Why it is to end.
    orders: mpsc::UnboundedReceiver<&'static str>,
    /// Of one that has its last try: no other such one begins until the result of this is safe.
    alone: Option<SemaphorePermit<'a>>,
}

impl<'a> Running<'a> {
    /// None if it is under way already.
    fn begin(station: &'a Station, queue: &str, id: &str) -> Option<Self> {
        let mut running = lock(&station.running);
        if running.contains_key(id) {
            return None;
        }
        let (to, orders) = mpsc::unbounded_channel();
        running.insert(id.to_owned(), (queue.to_owned(), to));
        let id = id.to_owned();
        Some(Self {
            station,
            id,
            orders,
            alone: None,
        })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        lock(&self.station.running).remove(&self.id);
    }
}

/// Gives a job back that was not begun.
pub(crate) async fn leave(acker: &Acker) {
    // If that is not heard, the lease ends by itself.
    acker.ack_with(AckKind::Nak(None)).await.ok();
}
