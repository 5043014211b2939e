//! Why a program died of a SIGKILL that the keeper had not sent: what the kernel, systemd-oomd and
//! systemd know of it.

use super::Keeper;
use super::phase::{Event, Shortage, Traces};
use crate::cgroup::{Leaf, LeafUsage};
use crate::error::chain;
use crate::launch::failure::may_be_shortage;
use crate::sys::process::Exit;
use crate::systemd::StateRequest;

impl Keeper<'_> {
    /// What the cgroups show of the death.
    pub(super) fn traces(&self) -> Traces {
        let leaf = self.home.leaf();
        Traces {
            shortage: self.shortage(),
            by_oomd: leaf.is_some_and(Leaf::was_killed_by_oomd),
            in_scope: self.home.unit().is_some(),
        }
    }

    /// The lack of memory for which the kernel has killed a process of the program. Figures that
    /// are reported have the last word.
    pub(super) fn shortage(&self) -> Option<Shortage> {
        let reported = self.figures.usage().map(|usage| usage.leaf);
        let usage: LeafUsage = match reported {
            Some(usage) => usage,
            None => LeafUsage {
                starved: self.figures.is_starved(),
                ..self.home.leaf()?.usage().ok()?
            },
        };
        if usage.was_oom() {
            Some(Shortage::OfTheRun)
        } else {
            usage.was_oom_outside().then_some(Shortage::OfOthers)
        }
    }

    /// Whether this error of a step on the way to the program is its memory limit's. The kernel
    /// does not kill for that: it spares a process that still shares its memory with init.
    pub(super) fn look_for_starvation(&mut self, errno: i32) -> bool {
        if !may_be_shortage(errno) || self.plan.leaf.memory.is_none() {
            return false;
        }
        let usage = self.home.leaf().and_then(|leaf| leaf.usage().ok());
        let is_starved = usage.is_some_and(|usage| usage.has_run_out());
        if is_starved {
            self.figures.starve();
        }
        is_starved
    }

    /// How the program's process ended. Where it gave up for lack of memory, the kernel would have
    /// killed any other process; not even a message about that could be sent, perhaps.
    pub(super) fn or_starved(&mut self, exit: Exit) -> Exit {
        let is_starved = self.figures.is_starved()
            || (!self.figures.have_begun() && self.look_for_starvation(libc::ENOMEM));
        if is_starved {
            Exit::Signal(libc::SIGKILL)
        } else {
            exit
        }
    }

    /// Asks whether systemd is killing the whole scope, of which the program may have died first.
    /// An error means that nothing is known.
    pub(super) fn ask_systemd(&mut self) -> Option<Event> {
        let unit = self.home.unit()?;
        match StateRequest::start(&unit) {
            Ok(question) => {
                self.question = Some(question);
                None
            }
            Err(error) => {
                log::info!("cannot ask systemd about {unit}: {}", chain(&error));
                Some(Event::Answered { is_stopping: false })
            }
        }
    }

    /// Hears what systemd says of the scope.
    pub(super) fn take_answer(&mut self) -> Option<Event> {
        let is_stopping = match self.question.as_mut()?.proceed() {
            Ok(None) => return None,
            Ok(Some(is_stopping)) => is_stopping,
            Err(error) => {
                log::info!("systemd gave no answer: {}", chain(&error));
                false
            }
        };
        self.question = None;
        Some(Event::Answered { is_stopping })
    }
}
