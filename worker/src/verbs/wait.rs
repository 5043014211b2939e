//! Waits for the results of jobs. A result is heard of as it is published, and then asked for by
//! its subject, which is all that a submitter may read; and whatever happens to servers or to this
//! process, those that nobody told of are asked for in turn.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, IsTerminal, Write};
use std::ops::Bound;
use std::time::Duration;

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use isolate_run_client::{FleetJob, FleetOutcome, Stored};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};

use crate::connection::Fleet;
use crate::failure::Failure;
use crate::names::result_subject;
use crate::past::last;
use crate::station::now;
use crate::tell::tell;
use crate::{store, verbs::submit};

/// How often some of the jobs that nobody told of are asked for, and how many.
const ROUND: Duration = Duration::from_secs(2);
const A_ROUND: usize = 200;
/// How many results are asked for at a time.
const AT_ONCE: usize = 32;
/// How long a word is waited for, and a result that was heard of and is not there yet.
const PATIENCE: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_millis(10);
/// How often one that was heard of is asked for; then it is one that nobody told of.
const TRIES: u32 = 100;
/// How often a result is read that a server cannot give whole, a round apart.
const READINGS: u32 = 10;
/// How long after its end a job may still come to light.
const GRACE: u64 = 30_000;
/// How often a job is sent, whose result does not come.
const ATTEMPTS: u32 = 3;
/// The longest result that is a file.
const LONGEST: usize = 1 << 30;

/// Jobs without a result. There may be very many, so they are not there twice.
type Left<'a> = BTreeMap<String, Cow<'a, FleetJob>>;

/// Hears of results of this queue from now on.
///
/// # Errors
///
/// There is no connection.
pub(crate) async fn listen(fleet: &Fleet, queue: &str) -> Result<Subscriber, Failure> {
    let heard = fleet.client.subscribe(result_subject(queue, "*")).await;
    heard.map_err(Failure::at("cannot listen for results"))
}

/// Writes the result of each job as it comes; whether all are done.
///
/// # Errors
///
/// A job has no result, however often it is sent.
pub(crate) async fn results(
    fleet: &Fleet,
    queue: &str,
    jobs: &[FleetJob],
    mut heard: Subscriber,
) -> Result<bool, Failure> {
    let mut left: Left<'_> = jobs
        .iter()
        .map(|job| (job.id.clone(), Cow::Borrowed(job)))
        .collect();
    let mut progress = Progress::new(jobs.len());
    let mut all_done = true;
    let mut told: VecDeque<(String, u32)> = VecDeque::new();
    let mut round = Round::default();
    let mut unread: HashMap<String, u32> = HashMap::new();
    while !left.is_empty() {
        let patience = if told.is_empty() { PATIENCE } else { SOON };
        let mut word = timeout(patience, heard.next()).await.ok().flatten();
        while let Some(message) = word {
            let id = message.subject.rsplit('.').next().unwrap_or_default();
            if left.contains_key(id) {
                told.push_back((id.to_owned(), TRIES));
            }
            word = heard.next().now_or_never().flatten();
        }
        let mut ask: Vec<(String, u32)> = told.drain(..).collect();
        ask.extend(round.next(&left).into_iter().map(|id| (id, 0)));
        let asked = stream::iter(ask).map(|(id, tries)| async move {
            let found = last(&fleet.results, result_subject(queue, &id)).await;
            (id, tries, found)
        });
        let mut asked = std::pin::pin!(asked.buffer_unordered(AT_ONCE));
        while let Some((id, tries, found)) = asked.next().await {
            match found {
                Ok(Some(payload)) if left.contains_key(&id) => {
                    match write(fleet, queue, &id, &payload).await {
                        Ok(is_done) => all_done &= is_done,
                        // The others have results, too.
                        Err(failure) => {
                            let times = unread.entry(id.clone()).or_default();
                            *times += 1;
                            if *times < READINGS {
                                log::debug!("job {id}: {failure}; trying again");
                                continue;
                            }
                            log::error!("job {id} has a result that cannot be read: {failure}");
                            all_done = false;
                        }
                    }
                    left.remove(&id);
                    progress.show(left.len());
                }
                Ok(Some(_)) => {}
                // It is told before the servers have it: ask again.
                _ if tries > 0 => told.push_back((id, tries - 1)),
                Ok(None) => again(fleet, left.get_mut(&id)).await?,
                Err(failure) => log::debug!("{failure}"),
            }
        }
    }
    progress.end();
    Ok(all_done)
}

/// Whose turn it is to be asked for without a word.
#[derive(Default)]
struct Round {
    last: Option<Instant>,
    after: String,
}

impl Round {
    /// The next ones, if it is time.
    fn next(&mut self, left: &Left<'_>) -> Vec<String> {
        let last = *self.last.get_or_insert_with(Instant::now);
        if last.elapsed() < ROUND {
            return Vec::new();
        }
        self.last = Some(Instant::now());
        let from = (Bound::Excluded(self.after.clone()), Bound::Unbounded);
        let ids = left.range(from).map(|(id, _)| id.clone());
        let ids: Vec<String> = ids.take(A_ROUND).collect();
        // After the last one it is the first one's turn.
        self.after = ids.last().cloned().unwrap_or_default();
        ids
    }
}

/// Sends a job again whose time is over.
async fn again(fleet: &Fleet, job: Option<&mut Cow<'_, FleetJob>>) -> Result<(), Failure> {
    let Some(job) = job else { return Ok(()) };
    let is_late = |end: u64| now() > end.saturating_add(GRACE);
    if !job.not_after.is_some_and(is_late) {
        return Ok(());
    }
    let id = job.id.clone();
    if job.attempt >= ATTEMPTS {
        return Err(Failure::new(format!(
            "the job {id} has no result after {ATTEMPTS} attempts"
        )));
    }
    let job = job.to_mut();
    job.attempt += 1;
    job.not_after = Some(now() + GRACE);
    let attempt = job.attempt;
    log::warn!("the job {id} has no result in its time: attempt {attempt}");
    submit::publish(fleet, job).await
}

/// Writes a result; whether the job is done. It may be of a newer worker, and is written as it
/// came.
async fn write(fleet: &Fleet, queue: &str, id: &str, payload: &Bytes) -> Result<bool, Failure> {
    let what = "a result is none";
    let mut result: Map<String, Value> = match serde_json::from_slice(payload) {
        Ok(result) => result,
        Err(error) => {
            // Nor will it be one.
            log::error!("what job {id} has as a result is none: {error}");
            return Ok(false);
        }
    };
    let stored = result.remove("stored");
    let is_whole = stored.is_none();
    if let Some(stored) = stored {
        let stored: Stored = serde_json::from_value(stored).map_err(Failure::at(what))?;
        let what = format!("cannot get its file {}", stored.sha256);
        let lost = || Failure::new("nobody has it");
        let found = store::open(fleet, queue, &stored.sha256).await;
        let found = found.and_then(|found| found.ok_or_else(lost));
        let bytes = found.map_err(Failure::at(&what))?.all(LONGEST).await;
        let bytes = bytes.map_err(Failure::at(&what))?;
        let whole = serde_json::from_slice(&bytes).map_err(Failure::at(&what))?;
        result.insert("result".into(), whole);
    }
    tell(&match std::str::from_utf8(payload) {
        Ok(line) if is_whole && !line.contains('\n') => line.to_owned(),
        _ => serde_json::to_string(&result).map_err(Failure::at(what))?,
    });
    Ok(result.get("outcome").and_then(Value::as_str) == Some(FleetOutcome::Done.name()))
}

/// How far it is, for a person who looks on.
struct Progress {
    all: usize,
    is_shown: bool,
}

impl Progress {
    fn new(all: usize) -> Self {
        let is_shown = io::stderr().is_terminal() && !io::stdout().is_terminal();
        Self { all, is_shown }
    }

    fn show(&self, left: usize) {
        if self.is_shown {
            write!(
                io::stderr().lock(),
                "\r{} of {} jobs",
                self.all - left,
                self.all
            )
            .ok();
        }
    }

    fn end(&mut self) {
        if self.is_shown {
            writeln!(io::stderr().lock()).ok();
        }
    }
}
