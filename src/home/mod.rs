//! Where a run lives: the cgroups of a run, from the choice of who makes them until they are given
//! back.
//!
//! ```text
//! find ──▶ Nowhere ───────────────────────────┐
//!      ──▶ Standing: delegated, or made ahead ┼─ move_in: init is cloned ─▶ the run ─▶ finish
//!      ──▶ Coming: asked for ahead ───────────┤                 ▲
//!      ──▶ Wanted ────────────────────────────┘ then it is Coming, until proceed makes it Standing
//! ```
//!
//! Nothing here waits but [`Home::part_with`]: whoever has a home polls [`Home::ready`].

mod ahead;
mod find;
mod holder;
mod kept;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

pub(crate) use ahead::ScopeAhead;
pub(crate) use find::find_place;
pub(crate) use kept::{dismiss, leave_ready};

use ahead::Stage;
use holder::Holder;

use crate::box_dir::Kept;
use crate::bus::{Bus, BusError, Carries};
use crate::cgroup::{Leaf, LeafLimits, Place, Subtree};
use crate::failure::Failure;
use crate::launch::{self, Init, InitSetup, LEAVE_PATIENCE, Moves};
use crate::plan::RunPlan;
use crate::quantity::BoxId;
use crate::systemd::{self, Held, ScopeRequest, ScopeSpec};

/// Where a run lives.
#[derive(Debug)]
pub(crate) enum Home {
    /// It has no cgroups, only rlimits and rusage.
    Nowhere,
    /// systemd is to be asked for a scope around init, over this connection, unless one is made in
    /// time around the holder that an earlier command left behind.
    Wanted(ScopeSpec, Result<Bus, BusError>, Option<Holder>),
    /// systemd was asked for a scope.
    Coming(ScopeRequest, Around),
    /// The cgroups are set up, in a scope that this holder keeps until init is there.
    Standing(Subtree, Option<Holder>),
}

/// The process that systemd makes a scope around.
#[derive(Debug)]
pub(crate) enum Around {
    /// The run's init.
    Init,
    /// A process that was made before init; then init is moved by us.
    Holder(Holder),
}

impl Home {
    /// Finds the home of a run in this box, as far as it can be had before there is an init: below
    /// a delegated cgroup, in a fitting scope that was asked for ahead, or in one that is still to
    /// be asked for. A scope that systemd has yet to make and that does not fit stays in `ahead`.
    /// `kept` is who was left behind in the box for this run.
    pub(crate) fn find(
        plan: &RunPlan,
        id: BoxId,
        bus: Option<Bus>,
        ahead: &mut Option<ScopeAhead>,
        kept: Option<Kept>,
    ) -> Result<Self, Failure> {
        let left_behind = kept.and_then(Holder::left_behind);
        let Some(spec) = &plan.scope else {
            ScopeAhead::end_if_ready(ahead);
            left_behind.iter().for_each(Holder::dismiss);
            return Ok(match &plan.place {
                Place::Delegated { root, .. } => {
                    Self::Standing(Subtree::delegated(root, id, &plan.leaf)?, None)
                }
                Place::Systemd { .. } | Place::Nowhere { .. } => Self::Nowhere,
            });
        };
        if let Some(holder) = left_behind {
            ScopeAhead::end_if_ready(ahead);
            let bus = bus.map_or_else(connect, Ok);
            return Ok(Self::Wanted(spec.clone(), bus, Some(holder)).or_kept(plan));
        }
        Ok(match ScopeAhead::take_for(ahead, spec) {
            None => Self::Wanted(spec.clone(), bus.map_or_else(connect, Ok), None),
            Some((Stage::Asked(request), holder)) => {
                log::debug!("the scope has been asked for ahead");
                Self::Coming(request, Around::Holder(holder))
            }
            Some((Stage::Ready(scope), holder)) => {
                match Subtree::in_scope(&scope, &plan.leaf, &[]) {
                    Ok(subtree) => Self::Standing(subtree, Some(holder)),
                    Err(error) => Self::anew(spec, &error.into()),
                }
            }
        })
    }

    /// Takes the scope that an earlier command has had made, if it is there by now.
    fn or_kept(self, plan: &RunPlan) -> Self {
        let Self::Wanted(spec, bus, Some(holder)) = self else {
            return self;
        };
        let scope = holder.keeps(&spec);
        let subtree = scope.and_then(|scope| Subtree::in_scope(&scope, &plan.leaf, &[]).ok());
        match subtree {
            Some(subtree) => Self::Standing(subtree, Some(holder)),
            None => Self::Wanted(spec, bus, Some(holder)),
        }
    }

    /// The home of a run whose scope, made ahead, somebody has just stopped.
    fn anew(spec: &ScopeSpec, failure: &Failure) -> Self {
        log::info!("{failure}; asking for another scope");
        Self::Wanted(spec.clone(), connect(), None)
    }

    /// Clones init, and asks for its scope if that was not done before. From here on the home
    /// belongs to the run.
    pub(crate) fn move_in(
        mut self,
        setup: &InitSetup<'_>,
        plan: &RunPlan,
    ) -> Result<(Init, Self), Failure> {
        log::debug!("everything is laid out; cloning init");
        self = self.or_kept(plan);
        let mut spawned = self.spawn(setup);
        if let (Err(failure), Self::Standing(_, Some(_)), Some(spec)) =
            (&spawned, &self, &plan.scope)
        {
            self = Self::anew(spec, failure);
            spawned = self.spawn(setup);
        }
        let init = spawned?;
        let home = match self {
            Self::Wanted(spec, bus, late) => {
                late.iter().for_each(Holder::dismiss);
                let held = Held {
                    pid: init.pid,
                    pidfd: init.pidfd.as_fd(),
                };
                Self::Coming(ScopeRequest::start(bus, spec, held)?, Around::Init)
            }
            Self::Standing(subtree, Some(holder)) => {
                holder.end();
                log::info!("init {} is in {}", init.pid, subtree.path().display());
                Self::Standing(subtree, None)
            }
            home => home,
        };
        Ok((init, home))
    }

    fn spawn(&self, setup: &InitSetup<'_>) -> Result<Init, Failure> {
        let (door, moves) = match self {
            Self::Nowhere => (None, Moves::Never),
            Self::Standing(subtree, _) => (Some(subtree.init_fd()), Moves::Never),
            Self::Wanted(..) | Self::Coming(_, Around::Init) => (None, Moves::BySystemd),
            Self::Coming(_, Around::Holder(_)) => (None, Moves::ByKeeper),
        };
        let init = launch::spawn(setup, door, moves);
        init.map_err(Failure::at("cannot clone init into new namespaces"))
    }

    /// Whether everything is there, including init.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self, Self::Nowhere | Self::Standing(..))
    }

    /// Whether [`Self::proceed`] has something to do now.
    pub(crate) fn has_mail(&self) -> bool {
        matches!(self, Self::Coming(request, _) if request.has_mail())
    }

    /// One of them is readable when [`Self::proceed`] has something to do.
    pub(crate) fn ready(&self) -> [Option<BorrowedFd<'_>>; 2] {
        match self {
            Self::Coming(request, _) => {
                let mut ready = request.ready();
                [ready.next(), ready.next()]
            }
            Self::Nowhere | Self::Wanted(..) | Self::Standing(..) => [None, None],
        }
    }

    /// Goes on as far as possible without waiting, and returns whether that has made the home
    /// ready. After an error there will be none.
    pub(crate) fn proceed(&mut self, init: &Init, limits: &LeafLimits) -> Result<bool, Failure> {
        let Self::Coming(request, around) = self else {
            return Ok(false);
        };
        let furnished = match request.proceed() {
            Ok(None) => return Ok(false),
            Ok(Some(scope)) => {
                let (of_init, both);
                let residents: &[i32] = match around {
                    Around::Init => {
                        of_init = [init.pid];
                        &of_init
                    }
                    // systemd has just moved the holder, so this does not wait for a grace period.
                    Around::Holder(holder) => {
                        both = [holder.pid(), init.pid];
                        &both
                    }
                };
                Subtree::in_scope(&scope, limits, residents).map_err(Failure::from)
            }
            Err(error) => Err(error.into()),
        };
        let coming = std::mem::replace(self, Self::Nowhere);
        let subtree = furnished?;
        if let Self::Coming(_, Around::Holder(holder)) = coming {
            holder.end();
        }
        log::info!("init {} is in {}", init.pid, subtree.path().display());
        *self = Self::Standing(subtree, None);
        Ok(true)
    }

    /// The leaf, as soon as the home is ready.
    pub(crate) fn leaf(&self) -> Option<&Leaf> {
        self.subtree().map(Subtree::leaf)
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
            Self::Nowhere | Self::Wanted(..) | Self::Coming(..) => None,
        }
    }

    /// Prepares the end of init. A process that systemd is about to move must not be killed, so
    /// init is told to end by itself, and this waits for it.
    pub(crate) fn part_with(&mut self, init: &Init) {
        if let Self::Coming(request, Around::Init) = self {
            if request.is_under_way() {
                init.let_go();
                request.give_up(LEAVE_PATIENCE);
            }
        }
    }

    /// Gives the home back when init has ended.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Standing(subtree, _) => Ok(subtree.finish()?),
            Self::Nowhere | Self::Wanted(..) | Self::Coming(..) => Ok(()),
        }
    }
}

/// Connects to the bus in such a way that systemd can get a pidfd.
fn connect() -> Result<Bus, BusError> {
    systemd::connect(Carries::Descriptors)
}
