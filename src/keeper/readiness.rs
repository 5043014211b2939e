//! What the keeper hears of systemd and polkit, and what it makes of an end that nobody here had asked for.

use super::phase::{self, Event, Phase};
use super::{CgroupState, DIED_OF_KILL, Keeper};
use crate::cgroup::{Leaf, ScopeProcesses, Subtree};
use crate::clock::Moment;
use crate::error::chain;
use crate::systemd::StateRequest;

impl Keeper<'_> {
    /// Hears systemd, and sets up the cgroups in the scope once it is there.
    pub(super) fn take_scope(&mut self) -> Option<Event> {
        let CgroupState::Requested(request, holder) = &mut self.cgroups else {
            return None;
        };
        let scope = match request.proceed() {
            Ok(None) => return None,
            Ok(Some(scope)) => scope,
            Err(error) => {
                self.cgroups = CgroupState::None;
                return Some(Event::Failed(chain(&error)));
            }
        };
        let init = Some(self.init.pid);
        let processes = match holder {
            None => ScopeProcesses {
                inside: init,
                outside: None,
            },
            Some(holder) => ScopeProcesses {
                inside: Some(holder.pid()),
                outside: init,
            },
        };
        let subtree = Subtree::in_scope(&scope.path, &self.plan.leaf, processes);
        if let Some(holder) = holder.take() {
            holder.end();
        }
        self.unit = Some(scope.unit);
        match subtree {
            Ok(subtree) => {
                log::info!("init {} is in {}", self.init.pid, scope.path.display());
                self.cgroups = CgroupState::Ready(subtree);
                self.stages.cgroup_ready = Moment::now().ok();
                Some(Event::CgroupReady)
            }
            Err(error) => {
                self.cgroups = CgroupState::None;
                Some(Event::Failed(chain(&error)))
            }
        }
    }

    /// Hears polkit.
    pub(super) fn take_permission(&mut self) -> Option<Event> {
        let answer = self.permission?.borrow_mut().proceed()?;
        self.permission = None;
        Some(match answer {
            Ok(()) => Event::Permitted,
            Err(denied) => Event::Failed(chain(&denied)),
        })
    }

    pub(super) fn was_oom(&self) -> bool {
        self.cgroups
            .leaf()
            .and_then(|leaf| leaf.usage().ok())
            .is_some_and(|usage| usage.was_oom())
    }

    /// Whether the program died because memory ran out that it is not accountable for.
    pub(super) fn was_oom_outside(&self, phase: &Phase) -> bool {
        let usage = self.figures.usage();
        *phase == DIED_OF_KILL && usage.is_some_and(|usage| usage.leaf.was_oom_outside())
    }

    /// Whether the program died of SIGKILL, and neither we nor the kernel's memory limit sent it.
    pub(super) fn is_unexplained(&self, phase: &Phase) -> bool {
        *phase == DIED_OF_KILL
            && !self
                .figures
                .usage()
                .is_some_and(|usage| usage.leaf.was_oom())
    }

    /// Finds out who killed the program: systemd-oomd has left a note, systemd can be asked. Otherwise the program
    /// killed itself.
    pub(super) fn explain_kill(&mut self) -> Option<Event> {
        if self.cgroups.leaf().is_some_and(Leaf::was_killed_by_oomd) {
            return Some(Event::Failed(phase::OOMD.to_owned()));
        }
        self.ask_systemd()
    }

    /// Perhaps systemd is killing the whole scope, and the program was the first: init says that all is over,
    /// or dies in the same moment.
    fn ask_systemd(&mut self) -> Option<Event> {
        let Some(unit) = &self.unit else {
            return Some(Event::Empty);
        };
        match StateRequest::start(unit) {
            Ok(question) => {
                self.question = Some(question);
                None
            }
            Err(error) => {
                log::info!("cannot ask systemd about {unit}: {}", chain(&error));
                Some(Event::Empty)
            }
        }
    }

    pub(super) fn take_answer(&mut self) -> Option<Event> {
        let answer = match self.question.as_mut()?.proceed() {
            Ok(None) => return None,
            Ok(Some(is_stopping)) => is_stopping,
            Err(error) => {
                log::info!("systemd gave no answer: {}", chain(&error));
                false
            }
        };
        self.question = None;
        Some(if answer {
            Event::Failed(phase::STOPPED.to_owned())
        } else {
            Event::Empty
        })
    }
}
