//! Waits for the results of jobs. The stream of results is read from a position on, without a
//! consumer: whatever happens to servers or to this process, nothing is passed over.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use async_nats::jetstream::stream::DirectGetErrorKind;
use futures_util::StreamExt;
use isolate_run_client::{BatchResult, FleetJob, FleetOutcome, FleetResult};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use crate::connection::Fleet;
use crate::failure::Failure;
use crate::names::result_subject;
use crate::station::now;
use crate::tell::tell;
use crate::verbs::submit;

/// How long nothing comes before it is looked for, job by job.
const SILENCE: Duration = Duration::from_secs(5);
/// How long after its end a job may still come to light.
const GRACE: u64 = 30_000;
/// How often a job is sent, whose result does not come.
const ATTEMPTS: u32 = 3;

/// Where the stream of results is now.
///
/// # Errors
///
/// The server does not answer.
pub(crate) async fn position(fleet: &Fleet) -> Result<u64, Failure> {
    let info = fleet.results.get_info().await;
    let info = info.map_err(Failure::at("cannot ask the server for the results"))?;
    Ok(info.state.last_sequence + 1)
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
    start: u64,
) -> Result<bool, Failure> {
    let filter = result_subject(queue, "*");
    let heard = fleet.client.subscribe(filter.clone()).await;
    let mut heard = heard.map_err(Failure::at("cannot listen for results"))?;
    let mut left: HashMap<String, FleetJob> = jobs
        .iter()
        .map(|job| (job.id.clone(), job.clone()))
        .collect();
    let mut progress = Progress::new(jobs.len());
    let (mut position, mut all_done, mut last) = (start, true, Instant::now());
    while !left.is_empty() {
        match fleet
            .results
            .direct_get_next_for_subject(filter.as_str(), Some(position))
            .await
        {
            Ok(message) => {
                position = message.sequence + 1;
                let id = message
                    .subject
                    .rsplit('.')
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                if left.remove(&id).is_some() {
                    all_done &= write(fleet, &message.payload).await?;
                    progress.show(left.len());
                    last = Instant::now();
                }
                continue;
            }
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => {}
            Err(error) => log::debug!("cannot read results: {error}"),
        }
        if last.elapsed() > SILENCE {
            all_done &= look_for(fleet, queue, &mut left).await?;
            last = Instant::now();
        }
        // The server says so before it has it: a word is enough, and a short while.
        timeout(Duration::from_millis(200), heard.next()).await.ok();
        while timeout(Duration::ZERO, heard.next())
            .await
            .is_ok_and(|message| message.is_some())
        {}
    }
    progress.end();
    Ok(all_done)
}

/// Looks for results that came before this began, and sends jobs again whose time is over.
async fn look_for(
    fleet: &Fleet,
    queue: &str,
    left: &mut HashMap<String, FleetJob>,
) -> Result<bool, Failure> {
    let mut all_done = true;
    let ids: Vec<String> = left.keys().take(100).cloned().collect();
    for id in ids {
        let found = fleet
            .results
            .direct_get_last_for_subject(result_subject(queue, &id))
            .await;
        if let Ok(message) = found {
            left.remove(&id);
            all_done &= write(fleet, &message.payload).await?;
            continue;
        }
        let Some(job) = left.get_mut(&id) else {
            continue;
        };
        if job
            .not_after
            .is_some_and(|end| now() > end.saturating_add(GRACE))
        {
            if job.attempt >= ATTEMPTS {
                return Err(Failure::new(format!(
                    "the job {id} has no result after {ATTEMPTS} attempts"
                )));
            }
            job.attempt += 1;
            job.not_after = job.not_after.map(|_| now() + GRACE);
            log::warn!(
                "the job {id} has no result in its time: attempt {}",
                job.attempt
            );
            submit::publish(fleet, job).await?;
        }
    }
    Ok(all_done)
}

/// Writes a result; whether the job is done.
async fn write(fleet: &Fleet, payload: &[u8]) -> Result<bool, Failure> {
    let what = "a result is none";
    let mut result: FleetResult = serde_json::from_slice(payload).map_err(Failure::at(what))?;
    if let Some(stored) = result.stored.take() {
        let what = format!("cannot get the result of job {}", result.id);
        let mut object = fleet
            .files
            .get(&stored.sha256)
            .await
            .map_err(Failure::at(&what))?;
        let mut bytes = Vec::new();
        object
            .read_to_end(&mut bytes)
            .await
            .map_err(Failure::at(&what))?;
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
