//! `doctor`: examines the machine, explains, mends.
//!
//! ```text
//! Doctor (asked) ─▶ machine::look ─▶ Machine ─▶ table: each check ─▶ Finding ─▶ text or JSON
//!                                                        └─ Change ─▶ mend, record
//! ```
//!
//! `machine` and `migration` alone ask anybody, `mend` and `record` alone change anything; every
//! check decides from a [`Machine`] and nothing else.

mod change;
mod checks;
mod finding;
mod json;
mod machine;
mod mend;
mod migration;
mod mounts;
mod record;
mod table;
mod text;
mod tree;

use std::path::Path;

use crate::answer::Answer;
use crate::caller::Caller;
use crate::check_name::CheckName;
use crate::failure::Failure;
use crate::request::{Doctor, DoctorTask};
use crate::screen::{Coloring, Screen};
use crate::way;
use finding::{Finding, Verdict};
use machine::Machine;
use mend::Done;
use table::{Check, TABLE};

/// The exit codes of a machine with warnings and with errors; 2 is that of a call that failed.
const EXIT_WARNING: u8 = 1;
const EXIT_ERROR: u8 = 3;

/// A check, and what it found.
#[derive(Debug)]
struct Examined {
    check: Check,
    finding: Finding,
    /// Why the configuration wants nothing to be said about it.
    silenced: Option<String>,
}

/// Everything that there is to say.
#[derive(Debug)]
struct Visit {
    examined: Vec<Examined>,
    /// What was changed or taken back, if that was asked for.
    done: Option<Vec<Done>>,
}

impl Visit {
    /// The worst verdict of those that count.
    fn worst(&self) -> Verdict {
        let counted = self.examined.iter().filter(|one| one.silenced.is_none());
        let verdicts = counted.map(|one| one.finding.verdict);
        verdicts.max().unwrap_or(Verdict::NotApplicable)
    }

    fn has_failed(&self) -> bool {
        let mut done = self.done.iter().flatten();
        done.any(|done| done.failure.is_some())
    }

    fn exit_code(&self, asked: &Doctor) -> u8 {
        match self.worst() {
            Verdict::Error if asked.is_check_environment => EXIT_WARNING,
            Verdict::Error => EXIT_ERROR,
            Verdict::Warning => EXIT_WARNING,
            _ if self.has_failed() => EXIT_WARNING,
            _ => 0,
        }
    }
}

/// Examines the machine, and mends it if that was asked for.
pub(crate) fn visit(asked: &Doctor) -> Result<Answer, Failure> {
    Caller::refuse_set_user_id()?;
    let checks = chosen(asked);
    let mut machine = Machine::look(asked, &checks);
    if asked.task != DoctorTask::Look && !machine.facts.looker.is_root {
        return Err(Failure::new(
            "doctor: only root can change this machine; without --fix and --undo it is only looked at",
        ));
    }
    let mut examined = examine(&machine, &checks);
    let mut done = match asked.task {
        DoctorTask::Look => None,
        DoctorTask::Fix => Some(mend::fix(asked, &machine, &examined)?),
        DoctorTask::Undo => Some(mend::undo(asked, &machine.tree, &checks)?),
    };
    if done.as_ref().is_some_and(|done| !done.is_empty()) {
        machine = Machine::look(asked, &checks);
        examined = examine(&machine, &checks);
        if asked.task == DoctorTask::Fix {
            own_up(done.iter_mut().flatten(), &examined);
        }
    }
    let visit = Visit { examined, done };
    Ok(Answer {
        stdout: if asked.json {
            json::format(&visit)
        } else {
            text::format(
                &visit,
                asked,
                Screen::of(&std::io::stdout(), Coloring::Auto),
            )
        },
        code: visit.exit_code(asked),
        ..Answer::default()
    })
}

/// The verdicts of the checks that cost nothing, for those who look often: 0 is well, 1 a note, 2 a
/// warning, 3 an error. What is not known, what is silenced, and what a service would have to be
/// asked or time be taken for is left out.
pub(crate) fn glance(config: Option<&Path>) -> Vec<(&'static str, i64)> {
    let machine = Machine::glance(config.map(Path::to_owned));
    // In the namespace of a user who does without root every stranger's file has the same owner as
    // root's, and who may change the way to the boxes cannot be seen.
    let is_blind = way::rootless().is_some();
    let is_left_out = |name: &CheckName| match name {
        CheckName::Migration => true,
        CheckName::Boxes => is_blind,
        _ => false,
    };
    let mut checks = CheckName::ALL.to_vec();
    checks.retain(|name| !is_left_out(name));
    let examined = examine(&machine, &checks);
    let counted = examined.iter().filter(|one| one.silenced.is_none());
    let level = |one: &Examined| {
        let level = match one.finding.verdict {
            Verdict::NotApplicable => return None,
            Verdict::Ok => 0,
            Verdict::Note => 1,
            Verdict::Warning => 2,
            Verdict::Error => 3,
        };
        Some((one.check.name.name(), level))
    };
    counted.filter_map(level).collect()
}

/// A change that worked by its own word, and is still wanted, did nothing: as in a container, which
/// may not change some things of the machine.
fn own_up<'d>(done: impl Iterator<Item = &'d mut Done>, examined: &[Examined]) {
    for done in done.filter(|done| done.failure.is_none()) {
        let mut same = examined.iter();
        let same = same.find(|one| one.check.name.name() == done.check);
        let is_still_wanted = same.is_some_and(|one| {
            let mut changes = one.finding.changes.iter();
            changes.any(|change| change.command() == done.command)
        });
        if is_still_wanted {
            done.failure = Some("it had no effect here".to_owned());
        }
    }
}

/// The checks that were asked for.
fn chosen(asked: &Doctor) -> Vec<CheckName> {
    let is_wanted = |name: &CheckName| {
        let is_named = asked.only.is_empty() || asked.only.contains(name);
        is_named && !asked.skip.contains(name)
    };
    CheckName::ALL.into_iter().filter(is_wanted).collect()
}

fn examine(machine: &Machine, checks: &[CheckName]) -> Vec<Examined> {
    let wanted = TABLE
        .into_iter()
        .filter(|check| checks.contains(&check.name));
    wanted
        .map(|check| Examined {
            check,
            finding: (check.examine)(machine),
            silenced: machine.settings.silenced.get(&check.name).cloned(),
        })
        .collect()
}
