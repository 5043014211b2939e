//! Where a run lives: the cgroups of a run, from the choice of who makes them until they are given
//! back.
//!
//! ```text
//! find ──▶ Nowhere ──────────────────────────────────────┐
//!      ──▶ Standing: delegated, or kept ready ───────────┼─ move_in: init is cloned ─▶ finish
//!      ──▶ Awaited: an earlier command had it asked for ─┤
//!      ──▶ Wanted ─────────── then it is Coming ─────────┘ until proceed makes it Standing
//! ```
//!
//! Only [`Home::part_with`] waits: the owner of a home polls [`Home::ready`]. A [`Successor`],
//! which stays behind, asks for the scope of the next run. How a program gets into its home, and
//! when the run is over, is decided elsewhere.

mod awaited;
mod find;
mod holder;
mod remnant;
mod resting;
mod successor;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

pub(crate) use find::{cgroup_of_runs, find_place};
pub(crate) use remnant::Remnant;
pub(crate) use successor::{Successor, dismiss, dismiss_kept, retire, still_kept, take_on};

use awaited::{Awaited, Seen};
use holder::Holder;

use crate::box_dir::Kept;
use crate::bus::{Bus, BusError, Carries};
use crate::cgroup::{Leaf, LeafLimits, Place, Subtree};
use crate::failure::Failure;
use crate::launch::{self, Init, InitSetup, LEAVE_PATIENCE, Moves};
use crate::plan::RunPlan;
use crate::quantity::BoxId;
use crate::remedy::Remedy;
use crate::systemd::{self, Held, ScopeRequest, ScopeSpec};

/// Where a run lives.
#[derive(Debug)]
pub(crate) enum Home {
    /// It has no cgroups, only rlimits and rusage.
    Nowhere,
    /// systemd is to be asked for a scope around init, over this connection.
    Wanted(ScopeSpec, Result<Bus, BusError>),
    /// systemd is making a scope around a process that an earlier command left behind.
    Awaited(Awaited),
    /// systemd was asked for a scope around init.
    Coming(ScopeRequest),
    /// The cgroups are set up, in a scope that this holder keeps until init is there, or also for
    /// the runs that follow.
    Standing(Subtree, Option<Holder>),
}

/// Where a run looks for a scope that an earlier one has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// This process keeps it, if anybody does: the box says so.
    Noted(Option<Kept>),
    /// Among all of its slice: the box is for this run alone.
    Anywhere,
}

impl Home {
    /// Finds the home of a run in this box, as far as possible before there is an init: below a
    /// delegated cgroup, in the scope that a process left behind has kept ready (`kept`), or in a
    /// scope that is still to be asked for.
    pub(crate) fn find(
        plan: &RunPlan,
        id: BoxId,
        bus: Option<Bus>,
        kept: Left,
    ) -> Result<Self, Failure> {
        let left_behind = match kept {
            Left::Noted(kept) => kept
                .and_then(Holder::left_behind)
                .map(|holder| (holder, None)),
            Left::Anywhere => {
                let found = plan.scope.as_ref().and_then(Holder::find);
                found.map(|(holder, scope)| (holder, Some(scope)))
            }
        };
        let Some(spec) = &plan.scope else {
            left_behind.iter().for_each(|(holder, _)| holder.dismiss());
            return Ok(match &plan.place {
                Place::Delegated { root, .. } => {
                    Self::Standing(Subtree::delegated(root, id, &plan.leaf)?, None)
                }
                Place::Systemd { .. } | Place::Nowhere { .. } => Self::Nowhere,
            });
        };
        match left_behind {
            None => Ok(Self::Wanted(spec.clone(), bus.map_or_else(connect, Ok))),
            Some((holder, seen)) => {
                Self::Awaited(Awaited::new(spec.clone(), holder, seen)).if_there(plan)
            }
        }
    }

    /// Takes an awaited scope if it has come before init was cloned.
    fn if_there(self, plan: &RunPlan) -> Result<Self, Failure> {
        let Self::Awaited(mut awaited) = self else {
            return Ok(self);
        };
        let subtree = match awaited.look()? {
            Seen::NotYet => return Ok(Self::Awaited(awaited)),
            Seen::Scope(scope) => settle(&scope, &plan.leaf, &[]),
            Seen::Never => None,
        };
        Ok(match subtree {
            Some(subtree) => Self::Standing(subtree, Some(awaited.holder)),
            None => Self::Wanted(awaited.give_up(), connect()),
        })
    }

    /// Clones init, and asks for its scope if that was not done before. From here on the home
    /// belongs to the run.
    pub(crate) fn move_in(
        mut self,
        setup: &InitSetup<'_>,
        plan: &RunPlan,
    ) -> Result<(Init, Self), Failure> {
        log::debug!("everything is laid out; cloning init");
        self = self.if_there(plan)?;
        let mut spawned = self
            .spawn(setup)
            .and_then(|init| self.stays().map(|()| init));
        if let (Err(failure), Some(spec)) = (&spawned, &plan.scope) {
            self = match self {
                // Somebody has just stopped it, or its time is over.
                Self::Standing(_, Some(holder)) => {
                    log::info!("{failure}; asking for another scope");
                    holder.end();
                    let another = Self::Wanted(spec.clone(), connect());
                    spawned = another.spawn(setup);
                    another
                }
                home => home,
            };
        }
        let init = spawned?;
        let home = match self {
            Self::Wanted(spec, bus) => Self::ask(spec, bus, &init)?,
            Self::Standing(subtree, Some(holder)) => {
                log::info!("init {} is in {}", init.pid, subtree.path().display());
                let stays = plan.scope.as_ref().and_then(|spec| holder.relieve(spec));
                Self::Standing(subtree, stays)
            }
            home => home,
        };
        Ok((init, home))
    }

    /// Fails if the scope has stood empty, now that init is in it: systemd removes one then, or
    /// has just begun to.
    fn stays(&self) -> Result<(), Failure> {
        match self {
            Self::Standing(_, Some(holder)) if holder.has_ended() => Err(Failure::new(
                "the process that kept the scope has just ended",
            )),
            _ => Ok(()),
        }
    }

    /// Asks for a scope around init.
    fn ask(spec: ScopeSpec, bus: Result<Bus, BusError>, init: &Init) -> Result<Self, Failure> {
        let held = Held {
            pid: init.pid,
            pidfd: init.pidfd.as_fd(),
        };
        Ok(Self::Coming(ScopeRequest::start(bus, spec, held)?))
    }

    fn spawn(&self, setup: &InitSetup<'_>) -> Result<Init, Failure> {
        let (door, moves, spare) = match self {
            Self::Nowhere => (None, Moves::Never, None),
            Self::Standing(subtree, holder) => {
                let spare = holder.as_ref().map(Holder::spare);
                (Some(subtree.init_fd()), Moves::Never, spare)
            }
            // If an awaited scope does not come, systemd is asked for another.
            Self::Wanted(..) | Self::Awaited(_) | Self::Coming(_) => (None, Moves::BySystemd, None),
        };
        let init = launch::spawn(setup, door, moves, spare);
        init.map_err(|error| {
            let remedy = match error.raw_os_error() {
                Some(libc::ENOSPC) => Some(Remedy::RaiseFirstNamespaces),
                Some(libc::EPERM) => Some(Remedy::AllowNamespaces),
                Some(libc::EAGAIN) => Some(Remedy::RaiseProcesses),
                _ => None,
            };
            let error = Remedy::beside(remedy, error);
            Failure::at("cannot clone init into new namespaces")(error)
        })
    }

    /// Whether everything is there, including init.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self, Self::Nowhere | Self::Standing(..))
    }

    /// Whether [`Self::proceed`] has something to do now.
    pub(crate) fn has_mail(&self) -> bool {
        matches!(self, Self::Coming(request) if request.has_mail())
    }

    /// One of them is readable when [`Self::proceed`] has something to do.
    pub(crate) fn ready(&self) -> [Option<BorrowedFd<'_>>; 2] {
        match self {
            Self::Coming(request) => {
                let mut ready = request.ready();
                [ready.next(), ready.next()]
            }
            Self::Awaited(awaited) => awaited.ready(),
            Self::Nowhere | Self::Wanted(..) | Self::Standing(..) => [None, None],
        }
    }

    /// Goes on as far as possible without waiting, and returns whether that has made the home
    /// ready. After an error there will be none.
    pub(crate) fn proceed(&mut self, init: &Init, limits: &LeafLimits) -> Result<bool, Failure> {
        if self.is_ready() {
            return Ok(false);
        }
        let home = match std::mem::replace(self, Self::Nowhere) {
            Self::Awaited(mut awaited) => match awaited.look()? {
                Seen::NotYet => Self::Awaited(awaited),
                Seen::Scope(scope) => match settle(&scope, limits, &[init.pid]) {
                    // Otherwise the scope has stood empty: see `stays`.
                    Some(subtree) if !awaited.holder.has_ended() => {
                        Self::Standing(subtree, awaited.relieve())
                    }
                    _ => Self::ask(awaited.give_up(), connect(), init)?,
                },
                Seen::Never => Self::ask(awaited.give_up(), connect(), init)?,
            },
            Self::Coming(mut request) => match request.proceed()? {
                None => Self::Coming(request),
                // systemd has just moved it, so a move does not wait for a grace period.
                Some(scope) => {
                    Self::Standing(Subtree::in_scope(&scope, limits, &[init.pid])?, None)
                }
            },
            home => home,
        };
        *self = home;
        if let Some(path) = self.path() {
            log::info!("init {} is in {}", init.pid, path.display());
        }
        Ok(self.is_ready())
    }

    /// The leaf, as soon as the home is ready.
    pub(crate) fn leaf(&self) -> Option<&Leaf> {
        self.subtree().map(Subtree::leaf)
    }

    /// Whether the run that follows has its scope already: nobody need have one made.
    pub(crate) fn is_kept(&self, spec: &ScopeSpec) -> bool {
        match self {
            Self::Standing(_, holder) => holder.is_some(),
            Self::Awaited(_) => spec.outlasts_runs,
            Self::Nowhere | Self::Wanted(..) | Self::Coming(_) => false,
        }
    }

    /// Who keeps the scope, or will.
    pub(crate) fn holder(&self) -> Option<Kept> {
        match self {
            Self::Standing(_, holder) => holder.as_ref().map(Holder::kept),
            Self::Awaited(awaited) => Some(awaited.holder.kept()),
            Self::Nowhere | Self::Wanted(..) | Self::Coming(_) => None,
        }
    }

    /// Where it is, for people.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.subtree().map(Subtree::path)
    }

    /// The unit of its scope.
    pub(crate) fn unit(&self) -> Option<String> {
        self.subtree().and_then(Subtree::unit)
    }

    fn subtree(&self) -> Option<&Subtree> {
        match self {
            Self::Standing(subtree, _) => Some(subtree),
            Self::Nowhere | Self::Wanted(..) | Self::Awaited(_) | Self::Coming(_) => None,
        }
    }

    /// Prepares the end of init. A process that systemd is about to move must not be killed, so
    /// init is told to end by itself, and this waits for it.
    pub(crate) fn part_with(&mut self, init: &Init) {
        if let Self::Coming(request) = self {
            if request.is_under_way() {
                init.let_go();
                request.give_up(LEAVE_PATIENCE);
            }
        }
    }

    /// Does what can be done of [`Self::finish`] while init ends: nothing but init is left of the
    /// run.
    pub(crate) fn clear(&self) {
        if let Self::Standing(subtree, Some(_)) = self {
            // It is tried again.
            subtree.clear().ok();
        }
    }

    /// Gives the home back when init has ended. Returns who keeps the scope for the run that
    /// follows, if it stays.
    pub(crate) fn finish(self) -> Result<Option<Kept>, Failure> {
        match self {
            Self::Standing(subtree, Some(holder)) => Ok(match subtree.vacate(holder.kept().pid) {
                Ok(()) => {
                    holder.rest();
                    Some(holder.kept())
                }
                Err(error) => {
                    log::info!("{error}; the next run has another scope");
                    holder.end();
                    None
                }
            }),
            Self::Standing(subtree, None) => Ok(subtree.finish().map(|()| None)?),
            Self::Nowhere | Self::Wanted(..) | Self::Awaited(_) | Self::Coming(_) => Ok(None),
        }
    }
}

/// Sets up a scope that somebody has kept. One in which that is not possible is of no use: perhaps
/// a keeper was killed, and has left a leaf there.
fn settle(scope: &Path, limits: &LeafLimits, residents: &[i32]) -> Option<Subtree> {
    match Subtree::in_scope(scope, limits, residents) {
        Ok(subtree) => Some(subtree),
        Err(error) => {
            log::info!("{error}; asking for another scope");
            // systemd still has to find init alive, which may be in there by now.
            if residents.is_empty() {
                drop(Subtree::end_scope(scope));
            }
            None
        }
    }
}

/// Connects to the bus in such a way that systemd can get a pidfd.
fn connect() -> Result<Bus, BusError> {
    systemd::connect(Carries::Descriptors)
}
