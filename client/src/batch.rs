//! A process `isolate-run batch` that is driven from here: jobs in, results out, for as long as
//! there is work.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use crate::job::Job;
use crate::result::BatchResult;

/// How often it is looked whether a batch has ended.
const PAUSE: Duration = Duration::from_millis(2);

/// What becomes of a job.
#[derive(Debug)]
pub enum Answer {
    /// The batch says so.
    Result(Box<BatchResult>),
    /// The batch ended, or spoke nonsense, before it said anything of this job: why.
    Lost(String),
}

/// Takes the answer.
type Done = Box<dyn FnOnce(Answer) + Send>;

/// The jobs under way, until the batch has ended.
#[derive(Default)]
struct Pending {
    jobs: HashMap<String, Done>,
    /// Why no more answers come.
    ended: Option<String>,
}

/// The process. It is killed when this is dropped.
pub struct Batch {
    child: Child,
    /// None when it is to end.
    to: Option<Sender<String>>,
    pending: Arc<Mutex<Pending>>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("pid", &self.child.id())
            .finish_non_exhaustive()
    }
}

/// What every line of a batch has.
#[derive(Deserialize)]
struct Head {
    id: Option<String>,
}

impl Batch {
    /// Starts one. The command has all words, as in `isolate-run batch -j 1`; its standard input
    /// and output are set here.
    ///
    /// # Errors
    ///
    /// The program cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the process has no standard streams"));
        };
        let pending = Arc::new(Mutex::new(Pending::default()));
        let (to, lines) = mpsc::channel();
        thread::spawn(move || write_all(stdin, &lines));
        let answers = Arc::clone(&pending);
        thread::spawn(move || read_all(stdout, &answers));
        Ok(Self {
            child,
            to: Some(to),
            pending,
        })
    }

    /// Gives it a job. `done` is called once, from another thread, or here if the batch has ended.
    pub fn submit(&self, job: &Job, done: impl FnOnce(Answer) + Send + 'static) {
        let line = match job.to_line() {
            Ok(line) => line,
            Err(error) => return done(Answer::Lost(format!("cannot write the job: {error}"))),
        };
        {
            let mut pending = lock(&self.pending);
            if let Some(why) = pending.ended.clone() {
                drop(pending);
                return done(Answer::Lost(why));
            }
            let before = pending.jobs.insert(job.id.clone(), Box::new(done));
            if let Some(before) = before {
                before(Answer::Lost(
                    "another job with the same id was begun".into(),
                ));
            }
        }
        // If the writer is gone, so is the batch, and its reader tells all who wait.
        self.send(line);
    }

    /// Ends a job; its answer says that it was cancelled, unless it came first.
    pub fn cancel(&self, id: &str) {
        self.send(json!({ "cancel": id }).to_string());
    }

    fn send(&self, line: String) {
        if let Some(to) = &self.to {
            to.send(line).ok();
        }
    }

    /// Has it end by itself, which leaves nothing to tidy up, once it has nothing more to do. One
    /// that has not ended after `patience` is killed.
    pub fn end(mut self, patience: Duration) {
        self.to = None;
        let end = Instant::now() + patience;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(PAUSE);
        }
    }

    /// Whether answers can still come.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        lock(&self.pending).ended.is_none()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Nothing is left half by a thread that panicked.
fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_all(mut stdin: ChildStdin, lines: &mpsc::Receiver<String>) {
    for line in lines {
        let written = stdin.write_all(format!("{line}\n").as_bytes());
        if written.and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn read_all(stdout: ChildStdout, pending: &Mutex<Pending>) {
    let mut reader = BufReader::new(stdout);
    let mut line = String::new();
    let why = loop {
        line.clear();
        match reader.read_line(&mut line) {
            Ok(0) => break "the batch ended".to_owned(),
            Ok(_) => {}
            Err(error) => break format!("the batch cannot be read: {error}"),
        }
        let id = serde_json::from_str::<Head>(&line)
            .ok()
            .and_then(|head| head.id);
        let done = id.and_then(|id| lock(pending).jobs.remove(&id));
        // A line about no job of ours, such as one about a job that was cancelled too late.
        let Some(done) = done else { continue };
        done(match serde_json::from_str(&line) {
            Ok(result) => Answer::Result(Box::new(result)),
            Err(error) => Answer::Lost(format!("the batch's line is no result: {error}")),
        });
    };
    let mut pending = lock(pending);
    pending.ended = Some(why.clone());
    let waiting: Vec<Done> = pending.jobs.drain().map(|(_, done)| done).collect();
    drop(pending);
    for done in waiting {
        done(Answer::Lost(why.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Outcome;
    use std::sync::mpsc::channel;

    fn job(id: &str) -> Job {
        let text = format!(r#"{{"id":"{id}","steps":[{{"argv":["/bin/true"]}}]}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn shell(script: &str) -> Batch {
        Batch::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    fn answer(batch: &Batch, id: &str) -> Answer {
        let (to, from) = channel();
        batch.submit(&job(id), move |answer| to.send(answer).unwrap());
        from.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    #[test]
    fn a_job_gets_the_line_with_its_id() {
        let batch = shell(
            r#"read a; echo nonsense; echo '{"format":1,"id":"other","outcome":"done"}'
            echo '{"format":1,"id":"a","outcome":"refused","reason":"no"}'; read b"#,
        );
        match answer(&batch, "a") {
            Answer::Result(result) => {
                assert_eq!(
                    (result.outcome, result.reason.as_deref()),
                    (Outcome::Refused, Some("no"))
                );
            }
            Answer::Lost(why) => panic!("{why}"),
        }
        assert!(batch.is_alive());
    }

    #[test]
    fn a_job_of_a_batch_that_dies_is_lost_and_so_is_one_that_comes_later() {
        let batch = shell("read a; kill -9 $$");
        assert!(matches!(answer(&batch, "a"), Answer::Lost(_)));
        assert!(!batch.is_alive());
        assert!(matches!(answer(&batch, "b"), Answer::Lost(_)));
    }

    #[test]
    fn one_that_is_to_end_ends_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ended");
        let script = format!("while read a; do :; done; touch {}", file.display());
        shell(&script).end(Duration::from_secs(30));
        assert!(file.exists());
    }

    #[test]
    fn a_result_that_is_none_is_no_verdict() {
        let batch = shell(r#"read a; echo '{"format":1,"id":"a","outcome":"splendid"}'; read b"#);
        assert!(matches!(answer(&batch, "a"), Answer::Lost(_)));
    }
}
