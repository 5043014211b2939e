//! Many runs from one call: jobs in as JSON lines, results out as JSON lines, as they are there.
//!
//! ```text
//! main process [`conduct`]        slot, one for each job at a time [`slot`]
//! reads lines      [`job`]
//! ──── a job ───────────────────▶ makes its boxes, puts its files there
//!                                 puts each run to the broker, or to keepers of its own [`office`]
//!                                 reads what runs print, collects what they made
//! ◀─── its result ─────────────── leaves its boxes to the next job
//! writes lines    [`result`]
//! ```
//!
//! A slot is a caller like any other: it opens whatever a job names, with its user's rights. How a
//! run is decided and carried out is not known here: it is what `--run` with the same words is.

mod cache;
mod conduct;
mod crew;
mod frames;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod input;
mod job;
mod office;
mod output;
mod prepared;
mod result;
mod resume;
mod slot;

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::answer::Answer;
use crate::failure::Failure;
use crate::logging;
use crate::request::BatchOptions;
pub(crate) use conduct::{Flow, Next, Work, conduct};
use input::Input;
use job::Line;
pub(crate) use job::word::Bound;
pub(crate) use job::words;
pub(crate) use office::House;
use output::Output;
pub(crate) use prepared::{Prepared, limits};
use result::{Gist, JobResult};

/// The exit code when a job was not done, or a run did not end well with `--stop-on-failure`.
const EXIT_SOME_FAILED: u8 = 1;

/// Carries out all jobs.
pub(crate) fn run(options: BatchOptions) -> Result<Answer, Failure> {
    logging::start(options.verbosity);
    let house = House::of_caller(options.config.as_deref(), options.rootless)?;
    let house = house.with_max_output(options.max_output);
    let done = match &options.resume {
        Some(file) => resume::done(file)?,
        None => HashSet::new(),
    };
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let output = stdout.and_then(Output::new);
    let mut lines = Lines {
        input: Input::of(options.files.into()),
        output: output.map_err(Failure::at("cannot use standard output"))?,
        done,
        stop_on_failure: options.stop_on_failure,
        some_failed: false,
    };
    let jobs = options.jobs.unwrap_or_else(|| house.jobs());
    let stopped_by = conduct(&mut lines, house, jobs)?;
    Ok(Answer {
        code: match stopped_by {
            Some(signal) => u8::try_from(128 + signal as i32).unwrap_or(u8::MAX),
            // Nobody wants to know any more.
            None if lines.output.is_broken() => 0,
            None if lines.some_failed => EXIT_SOME_FAILED,
            None => 0,
        },
        ..Answer::default()
    })
}

/// Lines in, lines out.
struct Lines {
    input: Input,
    output: Output,
    /// Jobs to be left out.
    done: HashSet<String>,
    stop_on_failure: bool,
    some_failed: bool,
}

impl Work for Lines {
    fn ready(&self) -> Option<BorrowedFd<'_>> {
        self.input.ready()
    }

    fn next(&mut self) -> Result<Next, Failure> {
        loop {
            let line = match self.input.next()? {
                input::Next::Line(line) => line,
                input::Next::Later => return Ok(Next::Later),
                input::Next::End => return Ok(Next::End),
            };
            match Line::read(&line.text) {
                Ok(Line::Job(job)) if self.done.contains(&job.id) => {}
                Ok(Line::Job(job)) => return Ok(Next::Job(job.id, line.text)),
                Ok(Line::Cancel(id)) => return Ok(Next::Cancel(id)),
                Ok(Line::Empty) => {}
                Err(refused) => {
                    let is_done = refused.id.as_ref().is_some_and(|id| self.done.contains(id));
                    if !is_done {
                        let result = JobResult::of_line(refused, &line.source, line.line);
                        if self.take(&result.to_line())? == Flow::Stop {
                            return Ok(Next::End);
                        }
                    }
                    if self.output.is_full() {
                        return Ok(Next::Later);
                    }
                }
            }
        }
    }

    fn take(&mut self, line: &[u8]) -> Result<Flow, Failure> {
        self.output.push(line);
        let gist = Gist::of(line);
        self.some_failed |= !gist.as_ref().is_some_and(Gist::is_done);
        if self.stop_on_failure && !gist.is_some_and(|gist| gist.is_success()) {
            self.some_failed = true;
            return Ok(Flow::Stop);
        }
        Ok(Flow::GoOn)
    }

    fn writable(&self) -> Option<BorrowedFd<'_>> {
        self.output.ready()
    }

    fn write(&mut self) -> Result<Flow, Failure> {
        self.output
            .go_on()
            .map_err(Failure::at("cannot write a result"))?;
        match self.output.is_broken() {
            true => Ok(Flow::Stop),
            false => Ok(Flow::GoOn),
        }
    }

    fn is_full(&self) -> bool {
        self.output.is_full()
    }
}
