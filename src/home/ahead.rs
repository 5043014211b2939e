//! A scope that is made before there is a run for it.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::holder::Holder;
use crate::bus::Bus;
use crate::cgroup::Subtree;
use crate::failure::Failure;
use crate::systemd::{Held, ScopeRequest, ScopeSpec};

/// How long a scope is kept for a run that does not come.
const KEPT: Duration = Duration::from_secs(5);
/// The greatest age of a scope that a run takes over. systemd counts the run's time from its
/// beginning (RuntimeMaxUSec=), and a caller that waits for a box or for polkit may come late.
const USED_WITHIN: Duration = Duration::from_secs(10);

/// A scope that was asked for before its run, so that nobody waits for it: the kernel takes some
/// milliseconds to move a process into one, unless it has just done so. Dropping it ends the scope.
#[derive(Debug)]
pub(crate) struct ScopeAhead {
    spec: ScopeSpec,
    asked: Instant,
    holder: Holder,
    stage: Stage,
}

/// systemd's progress.
#[derive(Debug)]
pub(super) enum Stage {
    /// It has yet to make the scope around its holder.
    Asked(ScopeRequest),
    /// The scope is there and holds only the holder. This is its cgroup.
    Ready(PathBuf),
}

impl ScopeAhead {
    /// Asks for a scope. The calling process must have one thread only.
    pub(crate) fn ask(spec: ScopeSpec, bus: Bus) -> Result<Self, Failure> {
        let holder = Holder::make().map_err(Failure::at("cannot make a holder for the scope"))?;
        let held = Held {
            pid: holder.pid(),
            pidfd: holder.pidfd(),
        };
        let request = ScopeRequest::start(Ok(bus), spec.clone(), held)?;
        Ok(Self {
            spec,
            asked: Instant::now(),
            holder,
            stage: Stage::Asked(request),
        })
    }

    /// One of them is readable when [`Self::proceed`] has something to do, or when somebody else
    /// has ended the scope.
    pub(crate) fn ready(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let request = match &self.stage {
            Stage::Asked(request) => Some(request.ready()),
            Stage::Ready(_) => None,
        };
        let holder = [self.holder.pidfd()];
        holder.into_iter().chain(request.into_iter().flatten())
    }

    /// Goes on as far as possible without waiting. After an error there will be no scope.
    pub(crate) fn proceed(&mut self) -> Result<(), Failure> {
        if self.holder.has_ended() {
            return Err(Failure::new("the holder of the scope was killed"));
        }
        let Stage::Asked(request) = &mut self.stage else {
            return Ok(());
        };
        if let Some(scope) = request.proceed()? {
            Subtree::arrange_scope(&scope, &self.spec.controllers, self.holder.pid())?;
            self.stage = Stage::Ready(scope);
        }
        Ok(())
    }

    /// When to give the scope up; `None` while systemd has yet to make it, which it would do
    /// nevertheless.
    pub(crate) fn kept_until(&self) -> Option<Instant> {
        match self.stage {
            Stage::Asked(_) => None,
            Stage::Ready(_) => Some(self.asked + KEPT),
        }
    }

    /// Ends the scope at once, or as soon as it is there, and returns a descriptor of its holder to
    /// wait on. Nobody waits here: the slice may be another user's.
    pub(crate) fn give_up(self) -> OwnedFd {
        self.holder.let_go()
    }

    /// Takes the scope and its holder for a run that would ask for just such a scope, and ends any
    /// other. One that does not fit but that systemd has yet to make stays with the caller, since
    /// its holder must exist until then.
    pub(super) fn take_for(ahead: &mut Option<Self>, spec: &ScopeSpec) -> Option<(Stage, Holder)> {
        let fits = |ahead: &mut Self| {
            let is_late = ahead.asked.elapsed() > USED_WITHIN;
            ahead.spec == *spec && !is_late && !ahead.holder.has_ended()
        };
        let fitting = ahead.take_if(fits);
        if fitting.is_none() {
            Self::end_if_ready(ahead);
        }
        fitting.map(|fitting| (fitting.stage, fitting.holder))
    }

    /// Ends a scope that nobody needs, as [`Self::take_for`] does.
    pub(super) fn end_if_ready(ahead: &mut Option<Self>) {
        let ready = ahead.take_if(|ahead| matches!(ahead.stage, Stage::Ready(_)));
        drop(ready.map(Self::give_up));
    }
}
