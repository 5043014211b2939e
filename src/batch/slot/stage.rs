//! Steps that run at the same time, from their beginning to the end of the last: one, or several
//! that talk to each other.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::exceeded::become_output_limit;
use super::given::absent;
use super::relay::{Noted, Relay, Transcript, join};
use super::streams::{Found, Sink};
use super::{Room, Telephone, files};
use crate::batch::cache::{Digest, Entry};
use crate::batch::job::argv::argv;
use crate::batch::job::words::{Input, Job, Step};
use crate::batch::job::{Group, Pipe};
use crate::batch::office::{About, Office, TRIES, Wanted, lost};
use crate::batch::result::{Content, Outcome};
use crate::broker::client::errand::{Errand, Heard};
use crate::clock::Moment;
use crate::failure::Failure;
use crate::sys::poll::{self, Until, readable, writable};

/// How long outputs are read after the end of a run: nobody has them open then.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(5);

/// The signal that says that a run has written too much.
const TOO_MUCH: i32 = libc::SIGXFSZ;

/// What became of one run.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// The object of `--report`; `None` when there was no run.
    pub(super) report: Option<Value>,
    pub(super) stdout: Option<Content>,
    pub(super) stderr: Option<Content>,
    /// Why this is no verdict.
    pub(super) failure: Option<(Outcome, String)>,
    /// Where the box is that was made anew.
    pub(super) renewed: Option<PathBuf>,
}

/// A run under way.
struct Run {
    /// It has written too much: whatever it did after that, this is its end.
    has_exceeded: bool,
    errand: Option<Errand>,
    heard: Option<Heard>,
    stdout: Option<Sink>,
    stderr: Option<Sink>,
    /// Its input, in use: a program that could lock it would hold up all who look for it.
    _cached: Option<Entry>,
}

/// All of them.
struct Stage {
    runs: Vec<Run>,
    /// Each with the place of the run whose output it passes on.
    relays: Vec<(usize, Relay)>,
    all_heard: Option<Instant>,
}

/// The program's ends of the streams of one step.
#[derive(Default)]
struct Ends {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// Of a step that talks with several others.
    further: Vec<(i32, OwnedFd)>,
}

impl Ends {
    /// Takes the end of a pipe for this descriptor.
    fn set(&mut self, number: i32, end: OwnedFd) {
        match number {
            libc::STDIN_FILENO => self.stdin = Some(end),
            libc::STDOUT_FILENO => self.stdout = Some(end),
            number => self.further.push((number, end)),
        }
    }
}

/// Why a stage did not begin.
fn refused(what: &str) -> impl Fn(std::io::Error) -> (Outcome, Failure) + use<> {
    let what = what.to_owned();
    move |error| (Outcome::Refused, Failure::at(&what)(error))
}

/// Runs the steps of a group, each in its room; after the last one of a job its box is made anew.
pub(super) fn perform(
    office: &mut Office,
    telephone: &mut Telephone<'_>,
    job: &Job,
    group: &Group,
    rooms: &[Room],
    is_last: bool,
) -> Result<Vec<Ended>, (Outcome, Failure)> {
    let internal = |failure| (Outcome::Internal, failure);
    let mut tries = 1..TRIES;
    loop {
        let mut stage = begin(office, job, group, rooms, is_last)?;
        while !stage.is_over() {
            stage.go_on(office, telephone).map_err(internal)?;
        }
        if !stage.is_unbegun() || telephone.is_cancelled || tries.next().is_none() {
            return Ok(stage.runs.into_iter().map(Run::into_ended).collect());
        }
        office.speak_for_itself();
    }
}

fn begin(
    office: &mut Office,
    job: &Job,
    group: &Group,
    rooms: &[Room],
    is_last: bool,
) -> Result<Stage, (Outcome, Failure)> {
    let asked = Moment::now()
        .map_err(Failure::at("cannot read the clock"))
        .map_err(|failure| (Outcome::Internal, failure))?;
    let mut ends: Vec<Ends> = group.steps().map(|_| Ends::default()).collect();
    let mut relays = Vec::new();
    let mut transcripts = group
        .steps()
        .filter_map(|at| job.steps[at].transcript.as_ref());
    let transcript = transcripts.next().map(|file| {
        let most = file.max.as_ref().map(|max| max.bytes());
        let what = format!("cannot write the transcript '{}'", file.name);
        Transcript::create(&file.name, most).map_err(refused(&what))
    });
    let transcript = transcript
        .transpose()?
        .map(|one| Rc::new(RefCell::new(one)));
    for Pipe { from, to } in &group.pipes {
        let name = |at: usize| job.steps[at].name_or(at);
        let noted = transcript.as_ref().map(|transcript| Noted {
            direction: format!("{} -> {}", name(from.0), name(to.0)),
            transcript: Rc::clone(transcript),
        });
        let joined = join(noted, bound_of(office, &job.steps[from.0]));
        let joined = joined.map_err(refused("cannot join two programs by a pipe"))?;
        ends[from.0 - group.first].set(from.1, joined.write);
        ends[to.0 - group.first].set(to.1, joined.read);
        let writer = from.0 - group.first;
        relays.extend(joined.relay.map(|relay| (writer, relay)));
    }
    let mut runs = Vec::new();
    for ((at, mut ends), room) in group.steps().zip(ends).zip(rooms) {
        let step = &job.steps[at];
        let mut cached = None;
        let bound = bound_of(office, step);
        let name = step.name_or(at);
        let of_caller = refused(&format!("cannot open a stream of step '{name}'"));
        match &step.stdin {
            Some(Input::Path(path)) => {
                ends.stdin = Some(files::open_regular(path).map_err(&of_caller)?.into());
            }
            Some(Input::Text(text)) => {
                ends.stdin = Some(files::holding(text.as_bytes()).map_err(&of_caller)?);
            }
            Some(Input::Base64(text)) => {
                ends.stdin = Some(files::holding(&files::decode(text)).map_err(&of_caller)?);
            }
            Some(Input::Sha256(digest)) => {
                let opened = open_cached(office, digest);
                let (file, entry) = opened.map_err(|failure| (Outcome::Refused, failure))?;
                ends.stdin = Some(file);
                cached = Some(entry);
            }
            Some(Input::File(_) | Input::Pipe(_)) | None => {}
        }
        let open = |output, end: &mut Option<OwnedFd>| {
            let (sink, theirs) = Sink::open(output, bound).map_err(&of_caller)?;
            *end = theirs.or(end.take());
            Ok::<_, (Outcome, Failure)>(sink)
        };
        let stdout = open(step.stdout.as_ref(), &mut ends.stdout)?;
        let stderr = open(step.stderr.as_ref(), &mut ends.stderr)?;
        ends.further.sort_by_key(|(number, _)| *number);
        // While one of them has a CPU and waits for the others, its time goes on: they do not wait
        // for CPUs that another job may hold in the same way.
        let waits = at == group.first || !office.leases_cpus();
        let errand = office.put(Wanted {
            about: About::Run {
                names_directories: !step.dirs.is_empty() || !room.shown.is_empty(),
            },
            argv: argv(
                step,
                room.id,
                office.cg(),
                waits,
                room.shown.iter().map(|shown| &shown.rule),
            ),
            asked,
            standard: [&ends.stdin, &ends.stdout, &ends.stderr]
                .map(|end| end.as_ref().map(AsFd::as_fd)),
            inherited: &ends.further,
            renews: is_last && group.count == 1 && step.collect.is_empty(),
        });
        let (errand, heard) = match errand {
            Ok(errand) => (Some(errand), None),
            Err((Outcome::Refused, failure)) => (None, Some(Heard::Failed(failure.to_string()))),
            Err((_, failure)) => {
                log::info!("step '{name}': {failure}");
                (None, Some(Heard::Lost))
            }
        };
        runs.push(Run {
            has_exceeded: false,
            errand,
            heard,
            stdout,
            stderr,
            _cached: cached,
        });
    }
    Ok(Stage {
        runs,
        relays,
        all_heard: None,
    })
}

/// How much each output of a step may be, where nothing else is said: those to a file in the box
/// apart.
fn bound_of(office: &Office, step: &Step) -> Option<u64> {
    let own = step.limits.output.as_ref().map(|bound| bound.bytes());
    own.or(office.max_output())
}

/// Opens a file of the cache, which is in use as long as its entry is held.
fn open_cached(office: &Office, digest: &str) -> Result<(OwnedFd, Entry), Failure> {
    let digest = Digest::parse(digest).ok_or_else(|| Failure::new("this is no digest"))?;
    let entry = office.cache()?.find(&digest)?;
    let entry = entry.ok_or_else(|| absent(&digest))?;
    let what = format!("cannot read {}", entry.path().display());
    let file = entry.open().map_err(Failure::at(&what))?;
    Ok((file.into(), entry))
}

impl Stage {
    fn is_over(&self) -> bool {
        let is_late = |since: &Instant| since.elapsed() > OUTPUT_PATIENCE;
        let sinks = || self.runs.iter().flat_map(Run::sinks);
        self.runs.iter().all(|run| run.heard.is_some())
            && (self.all_heard.as_ref().is_some_and(is_late)
                || (sinks().all(|sink| sink.ready().is_none())
                    && self.relays.iter().all(|(_, relay)| relay.is_over())))
    }

    /// Whether none of its runs was begun, and all may be put again.
    fn is_unbegun(&self) -> bool {
        let is_unbegun = |run: &Run| matches!(run.heard, Some(Heard::Unbegun));
        self.runs.iter().all(is_unbegun)
    }

    /// Waits for something to happen, and attends to all that has.
    fn go_on(&mut self, office: &mut Office, telephone: &mut Telephone<'_>) -> Result<(), Failure> {
        let runs = self.runs.iter();
        let awaited = runs
            .flat_map(|run| {
                let errand = run.errand.as_ref().filter(|_| run.heard.is_none());
                let sinks = [&run.stdout, &run.stderr];
                [readable(errand.map(Errand::ready))]
                    .into_iter()
                    .chain(sinks.map(|sink| readable(sink.as_ref().and_then(Sink::ready))))
            })
            .chain(
                self.relays
                    .iter()
                    .flat_map(|(_, relay)| [readable(relay.from()), writable(relay.to())]),
            )
            .chain([readable(telephone.ready())])
            .chain(office.heard_at().map(readable));
        let until = match self.all_heard {
            Some(_) => Until::within(OUTPUT_PATIENCE),
            None => Until::Forever,
        };
        let ready = poll::each(awaited, until);
        let ready = ready.map_err(Failure::at("cannot wait for the end of a run"))?;
        let mut ready = ready.into_iter();
        let mut next = || ready.next().unwrap_or_default();
        let mut has_failed = false;
        for run in &mut self.runs {
            if next() {
                run.heard = run.errand.as_ref().and_then(Errand::hear);
                has_failed |= matches!(
                    run.heard,
                    Some(Heard::Failed(_) | Heard::Lost | Heard::Unbegun)
                );
            }
            let mut has_exceeded = false;
            for sink in [&mut run.stdout, &mut run.stderr] {
                let is_ready = next();
                let sink = sink.as_mut().filter(|_| is_ready);
                has_exceeded |= sink.map(Sink::take) == Some(Found::TooMuch);
            }
            if has_exceeded {
                run.exceed();
            }
        }
        for (writer, relay) in &mut self.relays {
            // Both, whichever is ready.
            if next() | next() && relay.pass_on() == Found::TooMuch {
                self.runs[*writer].exceed();
            }
        }
        if next() {
            telephone.answer();
        }
        office.hear()?;
        // The partners of a run that is none would wait for it.
        let signal = telephone
            .take_signal()
            .or(has_failed.then_some(libc::SIGTERM));
        if let Some(signal) = signal {
            self.runs.iter().for_each(|run| run.signal(signal));
        }
        if self.all_heard.is_none() && self.runs.iter().all(|run| run.heard.is_some()) {
            self.all_heard = Some(Instant::now());
        }
        Ok(())
    }
}

impl Run {
    fn sinks(&self) -> impl Iterator<Item = &Sink> {
        self.stdout.iter().chain(&self.stderr)
    }

    /// Ends it because it has written too much.
    fn exceed(&mut self) {
        self.has_exceeded = true;
        self.signal(TOO_MUCH);
    }

    fn signal(&self, number: i32) {
        if self.heard.is_none() {
            self.errand.iter().for_each(|errand| errand.signal(number));
        }
    }

    fn into_ended(self) -> Ended {
        let unkept = self.sinks().find_map(Sink::failure).map(|failure| {
            let text = format!("an output could not be kept: {failure}");
            (Outcome::Internal, text)
        });
        let has_exceeded = self.has_exceeded;
        let renewed = match &self.heard {
            // Only then the call prints something itself.
            Some(Heard::Done(answer, _)) => Some(answer.stdout.trim_end()),
            _ => None,
        };
        let renewed = renewed.filter(|path| !path.is_empty()).map(PathBuf::from);
        let (mut report, failure) = match self.heard {
            Some(Heard::Done(_, results)) => match serde_json::from_str(&results.report) {
                Ok(report) => (Some(report), None),
                Err(error) => (
                    None,
                    Some((Outcome::Internal, format!("no report: {error}"))),
                ),
            },
            Some(Heard::Failed(reason)) => (None, Some((Outcome::Refused, reason))),
            Some(Heard::Lost | Heard::Unbegun) | None => {
                (None, Some((Outcome::Internal, lost().to_string())))
            }
        };
        if let Some(report) = report.as_mut().filter(|_| has_exceeded) {
            become_output_limit(report);
        }
        let internal = report.as_ref().and_then(|report: &Value| {
            let is_internal = report["verdict"] == "internal_error";
            let message = || report["message"].as_str().unwrap_or_default().to_owned();
            is_internal.then(|| (Outcome::Internal, message()))
        });
        Ended {
            report,
            stdout: self.stdout.and_then(Sink::into_content),
            stderr: self.stderr.and_then(Sink::into_content),
            failure: failure.or(internal).or(unkept),
            renewed,
        }
    }
}
