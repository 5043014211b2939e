//! Waits for the results of jobs. A result is heard of as it is published, and then asked for by
//! its subject, which is all that a submitter may read; and whatever happens to servers or to this
//! process, those that nobody told of are asked for in turn.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IsTerminal, Write};
use std::ops::Bound;
use std::time::Duration;

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use isolate_run_client::{BatchResult, FleetJob, FleetOutcome, FleetResult};
use tokio::time::{Instant, timeout};

use crate::conclude::last;
use crate::connection::Fleet;
use crate::failure::Failure;
use crate::names::result_subject;
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
/// How long after its end a job may still come to light.
const GRACE: u64 = 30_000;
/// How often a job is sent, whose result does not come.
const ATTEMPTS: u32 = 3;
/// The longest result that is a file.
const LONGEST: usize = 1 << 30;

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
    let mut left: BTreeMap<String, FleetJob> = jobs
        .iter()
        .map(|job| (job.id.clone(), job.clone()))
        .collect();
    let mut progress = Progress::new(jobs.len());
    let mut all_done = true;
    let mut told: VecDeque<(String, u32)> = VecDeque::new();
    let mut round = Round::default();
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
                Ok(Some(payload)) => {
                    if left.remove(&id).is_some() {
                        all_done &= write(fleet, queue, &payload).await?;
                        progress.show(left.len());
                    }
                }
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
    fn next(&mut self, left: &BTreeMap<String, FleetJob>) -> Vec<String> {
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
async fn again(fleet: &Fleet, job: Option<&mut FleetJob>) -> Result<(), Failure> {
    let Some(job) = job else { return Ok(()) };
    let is_late = |end: u64| now() > end.saturating_add(GRACE);
    if !job.not_after.is_some_and(is_late) {
        return Ok(());
    }
    let id = &job.id;
    if job.attempt >= ATTEMPTS {
        return Err(Failure::new(format!(
            "the job {id} has no result after {ATTEMPTS} attempts"
        )));
    }
    job.attempt += 1;
    job.not_after = Some(now() + GRACE);
    let attempt = job.attempt;
    log::warn!("the job {id} has no result in its time: attempt {attempt}");
    submit::publish(fleet, job).await
}

/// Writes a result; whether the job is done.
async fn write(fleet: &Fleet, queue: &str, payload: &Bytes) -> Result<bool, Failure> {
    let what = "a result is none";
    let mut result: FleetResult = serde_json::from_slice(payload).map_err(Failure::at(what))?;
    if let Some(stored) = result.stored.take() {
        let what = format!("cannot get the result of job {}", result.id);
        let lost = || Failure::new("nobody has it");
        let found = store::open(fleet, queue, &stored.sha256).await;
        let found = found.and_then(|found| found.ok_or_else(lost));
        let bytes = found.map_err(Failure::at(&what))?.all(LONGEST).await;
        let bytes = bytes.map_err(Failure::at(&what))?;
        let whole: Option<BatchResult> =
            serde_json::from_slice(&bytes).map_err(Failure::at(&what))?;
        result.result = whole;
    }
    tell(&serde_json::to_string(&result).map_err(Failure::at(what))?);
    Ok(result.outcome == FleetOutcome::Done)
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
