//! Where the cgroups of a run come from, up to the clone of its init.

use std::os::fd::AsFd;

use super::ahead::{ScopeAhead, State};
use crate::bus::{Bus, BusError, Carries};
use crate::cgroup::{LeafLimits, Place, ScopeProcesses, Subtree};
use crate::failure::Failure;
use crate::keeper::CgroupState;
use crate::launch::{self, Holder, Home, Init, InitSetup};
use crate::plan::RunPlan;
use crate::quantity::BoxId;
use crate::systemd::{Held, Scope, ScopeRequest, ScopeSpec};

/// The cgroups of a run before there is an init.
#[derive(Debug)]
pub(super) enum Cgroups {
    /// There are to be none.
    None,
    /// They are there, below a delegated cgroup.
    Made(Subtree),
    /// systemd was asked for just such a scope before.
    Ahead(State, Holder, ScopeSpec),
    /// systemd is to be asked, over this connection.
    ToAsk(ScopeSpec, Result<Bus, BusError>),
}

impl Cgroups {
    /// Those of a scope: one that was made ahead, or else one that is still to be asked for. The handshake for that goes on
    /// while the sandbox is laid out.
    pub(super) fn in_scope(
        spec: ScopeSpec,
        bus: Option<Bus>,
        ahead: &mut Option<ScopeAhead>,
    ) -> Self {
        match ScopeAhead::take_for(ahead, &spec) {
            Some((state, holder)) => Self::Ahead(state, holder, spec),
            None => Self::ToAsk(spec, bus.map_or_else(connect, Ok)),
        }
    }

    /// Those that have nothing to do with systemd.
    pub(super) fn without_systemd(plan: &RunPlan, id: BoxId) -> Result<Self, Failure> {
        Ok(match &plan.place {
            Place::Delegated { root, .. } => Self::Made(Subtree::delegated(root, id, &plan.leaf)?),
            Place::Systemd { .. } | Place::Nowhere { .. } => Self::None,
        })
    }

    /// Clones init, and asks for its scope if that was not done before.
    pub(super) fn launch(
        self,
        setup: &InitSetup<'_>,
        limits: &LeafLimits,
    ) -> Result<(Init, CgroupState), Failure> {
        log::debug!("everything is laid out; cloning init");
        Ok(match self {
            Self::None => (spawn(setup, Home::Keepers)?, CgroupState::None),
            Self::Made(subtree) => {
                let init = spawn(setup, Home::Made(subtree.init_fd()))?;
                (init, CgroupState::Ready(subtree))
            }
            Self::Ahead(State::Ready(scope), holder, spec) => {
                let entered = spawn_in(setup, &scope, limits);
                holder.end();
                match entered {
                    Ok((init, subtree)) => (init, CgroupState::Ready(subtree)),
                    Err(failure) => {
                        // Somebody may have stopped it just now.
                        log::info!("{failure}; asking for another scope");
                        return Self::ToAsk(spec, connect()).launch(setup, limits);
                    }
                }
            }
            Self::Ahead(State::Asked(request), holder, _) => {
                log::debug!("the scope has been asked for ahead");
                let init = spawn(setup, Home::HeldScope)?;
                (init, CgroupState::Requested(request, Some(holder)))
            }
            Self::ToAsk(spec, bus) => {
                let init = spawn(setup, Home::Scope)?;
                let held = Held {
                    pid: init.pid,
                    pidfd: init.pidfd.as_fd(),
                };
                let request = ScopeRequest::start(bus, spec, held)?;
                (init, CgroupState::Requested(request, None))
            }
        })
    }
}

/// Connects to the bus; systemd is to get a pidfd.
fn connect() -> Result<Bus, BusError> {
    Bus::connect(Carries::Descriptors)
}

fn spawn(setup: &InitSetup<'_>, home: Home<'_>) -> Result<Init, Failure> {
    let init = launch::spawn(setup, home);
    init.map_err(Failure::at("cannot clone init into new namespaces"))
}

/// Clones init into a scope that is there.
fn spawn_in(
    setup: &InitSetup<'_>,
    scope: &Scope,
    limits: &LeafLimits,
) -> Result<(Init, Subtree), Failure> {
    let subtree = Subtree::in_scope(&scope.path, limits, ScopeProcesses::default())?;
    let init = spawn(setup, Home::Made(subtree.init_fd()))?;
    log::info!("init {} is in {}", init.pid, scope.path.display());
    Ok((init, subtree))
}
