//! What is remembered of commands about boxes: an entry in the system's journal, and counters.
//!
//! Both come when the caller has the answer: nobody waits for them, and no command depends on them.
//! An entry is one datagram, which is lost rather than waited for. What became of a command is
//! decided elsewhere.
//!
//! ```text
//! BoxCall, Settings, what came of it ── Memory ─┬─ entry ─▶ journal
//!                                               └─ counts ▶ box_dir::tally
//! ```

mod entry;
mod journal;

use std::path::PathBuf;

use crate::box_dir::tally::{self, Whose};
use crate::config::settings::{BoxSettings, LogSettings, LoggedRuns, Settings};
use crate::error::{beginning, printable};
use crate::failure::{Failure, Kind};
use crate::report::{Circumstances, Report, Verdict};
use crate::request::{BoxCall, BoxChoice};
use crate::user::Who;
use crate::way;

/// A command, as much as is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    /// The user who gave it; `None` while that is not known.
    pub(crate) uid: Option<u32>,
    by_broker: bool,
    command: Option<&'static str>,
    box_id: Option<u32>,
    program: Option<String>,
    arguments: Option<String>,
    log: LogSettings,
    /// Where the locks of boxes are, and the counters.
    locks: PathBuf,
}

/// What there is to tell of a command.
#[derive(Debug, Default)]
pub(crate) enum Told {
    /// It did what it was to do, which is nothing to remember.
    #[default]
    Nothing,
    /// A program has run, or was to.
    Run(Box<(Report, Circumstances)>),
    /// It was refused, or did not work.
    Failed(Failure),
    /// It did something that others may want to know of: `ended the run in box 7`.
    Did(String),
}

/// The longest text of a caller's that is remembered, in bytes.
const LONGEST: usize = 4096;

impl Memory {
    /// Of a command of which nothing is known so far.
    pub(crate) fn new(by_broker: bool) -> Self {
        Self {
            uid: None,
            by_broker,
            command: None,
            box_id: None,
            program: None,
            arguments: None,
            log: LogSettings::default(),
            locks: BoxSettings::default().locks,
        }
    }

    /// Adds what was asked.
    pub(crate) fn ask(&mut self, call: &BoxCall) {
        self.command = Some(call.command.name());
        self.box_id = match call.common.box_id {
            Some(BoxChoice::Number(id)) => Some(id.0),
            None if call.command.is_about_box_0() => Some(0),
            Some(BoxChoice::Auto) | None => None,
        };
        let words = call.command.program().map(|(_, program)| &program.argv);
        let mut words = words.into_iter().flatten();
        self.program = words.next().map(|name| text(&name.to_string_lossy()));
    }

    /// Adds what is configured.
    pub(crate) fn configure(&mut self, settings: &Settings, call: &BoxCall) {
        self.log = settings.log.clone();
        self.locks.clone_from(&settings.boxes.locks);
        let words = call.command.program().map(|(_, program)| &program.argv[..]);
        if let (true, Some([_, arguments @ ..])) = (self.log.arguments, words) {
            let words = arguments.iter().map(|word| word.to_string_lossy());
            self.arguments = Some(text(&words.collect::<Vec<_>>().join(" ")));
        }
    }

    /// Remembers what came of it.
    pub(crate) fn keep(&self, told: &Told) {
        if self.is_for_journal(told) {
            let who = self.uid.map(|uid| Who(way::outside(uid)).short());
            if let Some(fields) = entry::entry(self, who.as_deref(), told) {
                journal::send(&fields);
            }
        }
        self.count(told);
    }

    fn is_for_journal(&self, told: &Told) -> bool {
        match told {
            Told::Nothing => false,
            Told::Did(_) => true,
            Told::Run(run) => match (self.log.runs, run.0.verdict()) {
                (LoggedRuns::All, _) | (LoggedRuns::Failed, Verdict::Internal(_)) => true,
                (LoggedRuns::Failed | LoggedRuns::None, _) => false,
            },
            Told::Failed(failure) => match failure.kind() {
                Kind::Other => self.log.runs != LoggedRuns::None,
                Kind::Denied | Kind::Ceiling | Kind::Busy => self.log.refusals,
            },
        }
    }

    fn count(&self, told: &Told) {
        let Some(uid) = self.uid else {
            return;
        };
        let (whose, counts) = match told {
            Told::Nothing | Told::Did(_) => return,
            Told::Run(run) => {
                let report = &run.0;
                let name = format!("runs.{}", report.verdict().name());
                let cpu = report.usage.map_or(0, |usage| {
                    u64::try_from(usage.cpu.total.as_micros()).unwrap_or(u64::MAX)
                });
                (
                    Whose::User(uid),
                    vec![(name, 1), ("cpu_us".to_owned(), cpu)],
                )
            }
            Told::Failed(failure) => {
                let name = match failure.kind() {
                    Kind::Denied => "refused.polkit",
                    Kind::Ceiling => "refused.ceiling",
                    Kind::Busy => "refused.busy",
                    Kind::Other => "failed",
                };
                // Strangers have as many uids as they like (subuid(5)), but no counters of their
                // own.
                (Whose::UserIfKnown(uid), vec![(name.to_owned(), 1)])
            }
        };
        if let Err(error) = tally::add(&self.locks, whose, &counts) {
            log::debug!("not counted: {error}");
        }
    }
}

/// A text of a caller's as it is remembered: on one line, and not too long.
fn text(text: &str) -> String {
    beginning(&printable(text), LONGEST).to_owned()
}
