//! `submit`: jobs as for a batch, with their files, into a queue.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::context::{ConsumerInfoError, ConsumerInfoErrorKind};
use async_nats::jetstream::message::PublishMessage;
use futures_util::{StreamExt, TryStreamExt, stream};
use isolate_run_client::{FORMAT, FleetJob, Input, Job};

use crate::connection::Fleet;
use crate::failure::Failure;
use crate::layout::JOB_MAX;
use crate::names;
use crate::settings::{AllowSettings, Settings};
use crate::silence::break_silence;
use crate::station::now;
use crate::store;
use crate::validate::{self, Rules};
use crate::verbs::{self, wait};
use crate::{cli, tell};

/// How many jobs are on their way to the server at a time.
const AT_ONCE: usize = 64;
/// How often the server is asked to take a job.
const TRIES: u32 = 20;

/// Submits all jobs, and waits for their results if that is wanted; the exit code.
///
/// # Errors
///
/// A job makes no sense, a file cannot be read, or the server does not take something.
pub(crate) async fn submit(settings: &Settings, asked: &cli::Submit) -> Result<u8, Failure> {
    let pool = asked
        .pool
        .clone()
        .unwrap_or_else(|| settings.machine.pool.clone());
    for (what, name) in [("--queue", &asked.queue), ("--pool", &pool)] {
        if !names::is_name(name) {
            return Err(Failure::new(format!(
                "{what}: '{name}' is no name: letters, digits and hyphens"
            )));
        }
    }
    let jobs = read(asked)?;
    let fleet = verbs::open(settings).await?;
    let consumer = names::consumer(&pool, asked.priority, &asked.queue);
    let stream = fleet.stream(&names::jobs(&pool)).await?;
    // Who may only submit cannot ask, and is told by whoever made the accounts.
    if is_missing(&stream.consumer_info(&consumer).await) {
        let (queue, priority) = (&asked.queue, asked.priority);
        let text = format!(
            "no machine would take jobs of queue {queue}, priority {priority}, in pool {pool}: setup makes the queues of worker.toml"
        );
        return Err(Failure::new(text));
    }
    tokio::spawn(break_silence(
        fleet.clone(),
        settings.nats.urls.clone(),
        names::job_subject(&pool, asked.priority, &asked.queue),
    ));
    // Before the first one is sent: a result may come at once.
    let heard = match asked.wait {
        true => Some(wait::listen(&fleet, &asked.queue).await?),
        false => None,
    };
    let mut known = HashMap::new();
    let mut envelopes = Vec::new();
    for (place, job) in jobs {
        let job = upload(&fleet, &asked.queue, job, &mut known).await;
        let job = job.map_err(|failure| Failure::new(format!("{place}: {failure}")))?;
        let job = envelope(job, asked, &pool);
        check(&job).map_err(|reason| Failure::new(format!("{place}: {reason}")))?;
        envelopes.push(job);
    }
    let publishing = stream::iter(&envelopes)
        .map(Ok::<_, Failure>)
        .try_for_each_concurrent(AT_ONCE, |job| publish(&fleet, job));
    let Some(heard) = heard else {
        publishing.await?;
        tell::tell(&format!("submitted {} jobs", envelopes.len()));
        return Ok(0);
    };
    let waiting = wait::results(&fleet, &asked.queue, &envelopes, heard);
    let ((), all_done) = tokio::try_join!(publishing, waiting)?;
    Ok(u8::from(!all_done))
}

/// Whether the server knows that there is no such consumer, or no such stream.
fn is_missing(asked: &Result<Info, ConsumerInfoError>) -> bool {
    match asked {
        Err(error) => match error.kind() {
            ConsumerInfoErrorKind::NotFound | ConsumerInfoErrorKind::StreamNotFound => true,
            ConsumerInfoErrorKind::JetStream(said) => said.code() == 404,
            _ => false,
        },
        Ok(_) => false,
    }
}

/// The jobs, each with the place where it stands.
fn read(asked: &cli::Submit) -> Result<Vec<(String, Job)>, Failure> {
    let mut files = asked.files.clone();
    if files.is_empty() {
        files.push(PathBuf::from("-"));
    }
    let mut jobs = Vec::new();
    let mut ids = HashMap::new();
    for file in files {
        let name = file.display();
        let text = match file.as_os_str() == "-" {
            true => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text).map(|_| text)
            }
            false => fs::read_to_string(&file),
        };
        let text = text.map_err(Failure::at(format!("cannot read {name}")))?;
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let place = format!("{name}, line {}", index + 1);
            let job: Result<Job, _> = serde_json::from_str(line);
            let job = job.map_err(|error| Failure::new(format!("{place}: {error}")))?;
            if let Some(other) = ids.insert(job.id.clone(), place.clone()) {
                return Err(Failure::new(format!(
                    "{place}: the job has the id of that in {other}"
                )));
            }
            jobs.push((place, job));
        }
    }
    Ok(jobs)
}

/// Puts the files of a job into the object store. `known` are those that are there.
async fn upload(
    fleet: &Fleet,
    queue: &str,
    mut job: Job,
    known: &mut HashMap<String, String>,
) -> Result<Job, Failure> {
    for file in &mut job.files {
        let Some(path) = file.path.take() else {
            continue;
        };
        let digest = put(fleet, queue, &path, known).await?;
        match &file.sha256 {
            Some(sha256) if *sha256 != digest => {
                return Err(Failure::new(format!(
                    "{path} has the digest {digest}, and not {sha256}"
                )));
            }
            Some(_) => {}
            // A path is copied into the box, and a digest alone is shown read-only.
            None => file.writable = Some(true),
        }
        file.sha256 = Some(digest);
    }
    for step in &mut job.steps {
        if let Some(Input::Path(path)) = &step.stdin {
            step.stdin = Some(Input::Sha256(put(fleet, queue, path, known).await?));
        }
    }
    Ok(job)
}

async fn put(
    fleet: &Fleet,
    queue: &str,
    path: &str,
    known: &mut HashMap<String, String>,
) -> Result<String, Failure> {
    if let Some(digest) = known.get(path) {
        return Ok(digest.clone());
    }
    let bytes = fs::read(path).map_err(Failure::at(format!("cannot read {path}")))?;
    let digest = store::put(fleet, queue, &bytes).await?;
    known.insert(path.to_owned(), digest.clone());
    Ok(digest)
}

fn envelope(job: Job, asked: &cli::Submit, pool: &str) -> FleetJob {
    let submitted = now();
    FleetJob {
        format: FORMAT,
        id: job.id,
        attempt: 1,
        queue: asked.queue.clone(),
        priority: asked.priority,
        pool: pool.to_owned(),
        submitted,
        not_after: asked
            .within
            .map(|seconds| submitted.saturating_add(seconds.saturating_mul(1000))),
        trace: asked.trace.clone(),
        files: job.files,
        steps: job.steps,
    }
}

/// What every machine would refuse; what this or that machine allows is not known here.
fn check(job: &FleetJob) -> Result<(), String> {
    if !names::is_id(&job.id) {
        return Err(format!(
            "id: '{}' is none in a fleet: up to 128 letters, digits, '-' and '_'",
            job.id
        ));
    }
    let mut allow = AllowSettings {
        network: true,
        ..AllowSettings::default()
    };
    allow.dirs = job
        .steps
        .iter()
        .flat_map(|step| step.dirs.clone())
        .collect();
    let rules = Rules {
        pool: &job.pool,
        allow: &allow,
    };
    validate::check(job, &job.queue, &rules)
}

/// Has the server take a job. It is the same one when it is sent again.
///
/// # Errors
///
/// The job is too long, or the server does not take it.
pub(crate) async fn publish(fleet: &Fleet, job: &FleetJob) -> Result<(), Failure> {
    let what = format!("cannot submit the job {}", job.id);
    let payload = serde_json::to_vec(job).map_err(Failure::at(&what))?;
    if payload.len() + 1024 > JOB_MAX {
        let text = format!(
            "{what}: it has {} bytes, and {JOB_MAX} are allowed; name files by path, then they are uploaded",
            payload.len()
        );
        return Err(Failure::new(text));
    }
    let subject = names::job_subject(&job.pool, job.priority, &job.queue);
    let payload = bytes::Bytes::from(payload);
    let mut said = None;
    for time in 0..TRIES {
        let message = PublishMessage::build().payload(payload.clone());
        let message = message.message_id(names::message_id(&job.id, job.attempt, time));
        let sent = fleet.jetstream.send_publish(subject.clone(), message).await;
        let taken = match sent {
            Ok(taken) => taken.await,
            Err(error) => Err(error),
        };
        match taken {
            Ok(_) => {
                // Whoever does not hear it looks by itself.
                fleet
                    .client
                    .publish(names::wake_subject(&job.pool), bytes::Bytes::new())
                    .await
                    .ok();
                return Ok(());
            }
            Err(error) => said = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let said = said.map(|error| error.to_string()).unwrap_or_default();
    Err(Failure::new(format!("{what}: {said}")))
}
