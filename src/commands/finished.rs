//! A run that is over, and how it is told.

use super::next_scope::leave;
use super::{Context, Done};
use crate::answer::{Answer, Results};
use crate::box_dir::{Kept, Lock};
use crate::chronicle::Told;
use crate::failure::Failure;
use crate::home::Successor;
use crate::report::{Circumstances, Ending, Report, json, meta};
use crate::request::{Common, Telling};

/// A run that is over.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) report: Report,
    pub(super) circumstances: Circumstances,
    /// Who has the next one's scope made.
    pub(super) successor: Option<Successor>,
    /// Who keeps the scope of this one for the next.
    pub(super) kept: Option<Kept>,
}

impl Finished {
    /// Whether the sandbox did not work.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.report.ending, Ending::Failed(_))
    }

    /// Whatever came of it: the sandbox did not work.
    pub(super) fn fail(&mut self, failure: &Failure) {
        if !self.has_failed() {
            self.report.ending = Ending::Failed(failure.to_string());
        }
    }

    /// Has the scope of the next run in this box made, if that is configured, or leaves it this
    /// one.
    pub(super) fn leave_ready(&mut self, lock: &Lock) {
        if let Some(kept) = self.kept.take() {
            leave(kept, lock);
        } else if let Some(successor) = self.successor.take() {
            successor.stay(lock);
        }
    }

    /// The same where the box goes: the next run in one with this number finds what is left.
    pub(super) fn leave_without_box(&mut self) {
        if let Some(successor) = self.successor.take() {
            successor.stay_without_box();
        }
    }

    /// Says how it ended: a line for people, and to programs what they asked for.
    pub(super) fn tell(self, context: Context<'_>, line: String, code: u8) -> Done {
        let Self {
            report,
            circumstances,
            ..
        } = self;
        let Common {
            silent,
            telling,
            meta: for_meta,
            report: for_report,
            ..
        } = context.common();
        log::info!("held by {}", circumstances.holder());
        let is_quiet = *silent && !matches!(report.ending, Ending::Failed(_));
        let meta = for_meta
            .as_ref()
            .map(|_| meta::format(&report, circumstances.leaf.controlled));
        let json = for_report
            .as_ref()
            .map(|_| json::format(&report, &circumstances));
        let line = match telling {
            Telling::Words => line,
            Telling::Json => json::format(&report, &circumstances).trim_end().to_owned(),
        };
        Done {
            answer: Answer {
                stderr: (!is_quiet).then_some(line),
                code,
                ..Answer::default()
            },
            results: Results {
                meta: meta.unwrap_or_default(),
                report: json.unwrap_or_default(),
            },
            told: Told::Run(Box::new((report, circumstances))),
        }
    }
}
