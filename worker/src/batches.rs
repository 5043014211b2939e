//! The batches of a machine: a process `isolate-run batch` for each slot, that lives for many jobs.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use isolate_run_client::{Answer, Batch, Job, JobFile, Outcome, Step};
use tokio::sync::{mpsc, oneshot};

use crate::station::lock;

/// How long a job that was cancelled may take to end before its batch is killed.
const GRACE: Duration = Duration::from_secs(60);

/// How long one that has nothing to do may take to end.
const END: Duration = Duration::from_secs(10);

/// Those that have nothing to do.
#[derive(Debug)]
pub(crate) struct Batches {
    program: PathBuf,
    /// Where the batch of a user who is not root has its files, if there.
    cache_home: PathBuf,
    max_time: Duration,
    idle: Mutex<Vec<Batch>>,
}

/// What came of a job, and why it was ended, if it was.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) answer: Answer,
    pub(crate) cancelled_for: Option<&'static str>,
}

impl Batches {
    /// None yet.
    pub(crate) fn new(program: PathBuf, cache_home: PathBuf, max_time: Duration) -> Self {
        Self {
            program,
            cache_home,
            max_time,
            idle: Mutex::default(),
        }
    }

    fn take(&self) -> Result<Batch, String> {
        while let Some(batch) = lock(&self.idle).pop() {
            if batch.is_alive() {
                return Ok(batch);
            }
        }
        let mut command = Command::new(&self.program);
        command
            .args(["batch", "-j", "1"])
            .env("XDG_CACHE_HOME", &self.cache_home);
        let started = Batch::start(&mut command);
        started.map_err(|error| format!("cannot start {}: {error}", self.program.display()))
    }

    /// Has a job carried out. Whoever wants it to end says why.
    pub(crate) async fn run(
        &self,
        job: &Job,
        end: &mut mpsc::UnboundedReceiver<&'static str>,
    ) -> Ended {
        let mut cancelled_for = None;
        let batch = match self.take() {
            Ok(batch) => batch,
            Err(why) => {
                let answer = Answer::Lost(why);
                return Ended {
                    answer,
                    cancelled_for,
                };
            }
        };
        let (to, mut from) = oneshot::channel();
        batch.submit(job, move |answer| {
            // Nobody waits any more where the worker ends.
            to.send(answer).ok();
        });
        let late = tokio::time::sleep(self.max_time);
        tokio::pin!(late);
        let answer = loop {
            tokio::select! {
                answer = &mut from => break answer.ok(),
                Some(why) = end.recv(), if cancelled_for.is_none() => cancelled_for = Some(why),
                () = &mut late => match cancelled_for {
                    // It does not even end: whatever is wrong is not the program.
                    Some(_) => break None,
                    None => cancelled_for = Some("it ran for longer than jobs.max_time of worker.toml"),
                },
            }
            if cancelled_for.is_some() {
                batch.cancel(&job.id);
                late.as_mut().reset(tokio::time::Instant::now() + GRACE);
            }
        };
        if answer.is_some() && batch.is_alive() {
            lock(&self.idle).push(batch);
        }
        let answer = answer.unwrap_or_else(|| Answer::Lost("the batch did not end the job".into()));
        Ended {
            answer,
            cancelled_for,
        }
    }

    /// Whether a job works that works on every machine which is in order.
    pub(crate) async fn probe(&self) -> bool {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let job = Job {
            format: None,
            id: format!("probe-{}-{number}", std::process::id()),
            // With a file: where boxes cannot be written to, programs without files still run.
            files: vec![JobFile {
                name: "probe".into(),
                text: Some(String::new()),
                ..JobFile::default()
            }],
            steps: vec![Step {
                argv: vec!["/bin/true".into()],
                ..Step::default()
            }],
        };
        let (_nobody, mut end) = mpsc::unbounded_channel();
        let ended = self.run(&job, &mut end).await;
        matches!(ended.answer, Answer::Result(result) if result.outcome == Outcome::Done)
    }

    /// Ends those that have nothing to do.
    pub(crate) fn end(&self) {
        for batch in std::mem::take(&mut *lock(&self.idle)) {
            batch.end(END);
        }
    }
}
