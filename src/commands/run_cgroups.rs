//! Where the cgroups of a run come from, up to the clone of its init.

use std::os::fd::AsFd;

use super::Failure;
use super::ahead::{ScopeAhead, Taken};
use crate::bus::{Bus, BusError};
use crate::cgroup::{LeafLimits, Place, ScopeProcesses, Subtree};
use crate::error::chain;
use crate::keeper::CgroupState;
use crate::launch::{self, Holder, Home, Init, InitSetup};
use crate::plan::RunPlan;
use crate::quantity::BoxId;
use crate::systemd::{Held, ScopeRequest, ScopeSpec};

/// The cgroups of a run before there is an init.
#[derive(Debug)]
pub(super) enum Cgroups {
    /// There are to be none.
    None,
    /// They are there. Those of a scope have a holder.
    Made(Subtree, Option<Holder>),
    /// systemd was asked for a scope around a holder.
    Asked(ScopeRequest, Holder),
    /// systemd is to be asked, over this connection.
    ToAsk(ScopeSpec, Result<Bus, BusError>),
}

impl Cgroups {
    /// Those of a scope: one that was made ahead, or else one that is still to be asked for. The handshake for that goes on
    /// while the sandbox is laid out.
    pub(super) fn in_scope(
        spec: ScopeSpec,
        limits: &LeafLimits,
        bus: Option<Bus>,
        ahead: Option<ScopeAhead>,
    ) -> Self {
        match ahead.and_then(|ahead| ahead.take_for(&spec)) {
            Some(Taken::Asked(request, holder)) => return Self::Asked(request, holder),
            Some(Taken::Ready(scope, holder)) => {
                match Subtree::in_scope(&scope.path, limits, ScopeProcesses::default()) {
                    Ok(subtree) => return Self::Made(subtree, Some(holder)),
                    // Somebody may have stopped it just now.
                    Err(error) => log::info!("{}; asking for another scope", chain(&error)),
                }
                holder.end();
            }
            None => {}
        }
        Self::ToAsk(spec, bus.map_or_else(Bus::connect, Ok))
    }

    /// Those that have nothing to do with systemd.
    pub(super) fn without_systemd(plan: &RunPlan, id: BoxId) -> Result<Self, Failure> {
        Ok(match &plan.place {
            Place::Delegated { root, .. } => {
                Self::Made(Subtree::delegated(root, id, &plan.leaf)?, None)
            }
            Place::Systemd { .. } | Place::Nowhere { .. } => Self::None,
        })
    }

    /// Clones init, and asks for its scope if that was not done before.
    pub(super) fn launch(self, setup: &InitSetup) -> Result<(Init, CgroupState), Failure> {
        log::debug!("everything is laid out; cloning init");
        let home = match &self {
            Self::None => Home::Keepers,
            Self::Made(subtree, _) => Home::Made(subtree.init_fd()),
            Self::Asked(..) => Home::HeldScope,
            Self::ToAsk(..) => Home::Scope,
        };
        let init = launch::spawn(setup, home);
        let init = init.map_err(Failure::at("cannot clone init into new namespaces"))?;
        let state = match self {
            Self::None => CgroupState::None,
            Self::Made(subtree, holder) => {
                if let Some(holder) = holder {
                    log::info!("init {} is in {}", init.pid, subtree.path().display());
                    holder.end();
                }
                CgroupState::Ready(subtree)
            }
            Self::Asked(request, holder) => CgroupState::Requested(request, Some(holder)),
            Self::ToAsk(spec, bus) => {
                let held = Held {
                    pid: init.pid,
                    pidfd: init.pidfd.as_fd(),
                };
                CgroupState::Requested(ScopeRequest::start(bus, spec, held)?, None)
            }
        };
        Ok((init, state))
    }
}
