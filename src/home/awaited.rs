//! A scope that was asked for at the end of an earlier command and is not there yet.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::holder::{Holder, Keeps};
use crate::clock::Timer;
use crate::failure::Failure;
use crate::systemd::ScopeSpec;

/// How long a run waits for the scope. systemd was asked long before, so a holder that is still not
/// in it was probably stopped by somebody.
const PATIENCE: Duration = Duration::from_secs(2);

/// The time between two of the first looks.
const EARLY_LOOK: Duration = Duration::from_micros(100);
/// How many looks are early ones.
const EARLY_LOOKS: u32 = 50;
/// The time between two later looks.
const LOOK: Duration = Duration::from_millis(1);

/// The scope.
#[derive(Debug)]
pub(crate) struct Awaited {
    spec: ScopeSpec,
    pub(super) holder: Holder,
    /// It was there a moment ago; nobody has looked what came of that.
    seen: Option<PathBuf>,
    until: Instant,
    looks: u32,
    /// There is none before the first look that finds nothing.
    timer: Option<Timer>,
}

/// What has come of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is there: its cgroup.
    Scope(PathBuf),
    /// It is still awaited.
    NotYet,
    /// It will be of no use.
    Never,
}

impl Awaited {
    /// The scope that this holder will keep, or keeps already, where it was seen.
    pub(super) fn new(spec: ScopeSpec, holder: Holder, seen: Option<PathBuf>) -> Self {
        Self {
            spec,
            holder,
            seen,
            until: Instant::now() + PATIENCE,
            looks: 0,
            timer: None,
        }
    }

    /// One of them is readable when it is time for a look.
    pub(super) fn ready(&self) -> [Option<BorrowedFd<'_>>; 2] {
        [
            self.timer.as_ref().map(AsFd::as_fd),
            Some(self.holder.pidfd()),
        ]
    }

    /// Looks, and sets the time of the next look.
    pub(super) fn look(&mut self) -> Result<Seen, Failure> {
        if let Some(scope) = self.seen.take() {
            return Ok(Seen::Scope(scope));
        }
        match self.holder.keeps(&self.spec) {
            Keeps::Scope(scope) => return Ok(Seen::Scope(scope)),
            Keeps::Another => return Ok(Seen::Never),
            Keeps::Nothing => {}
        }
        if self.holder.has_ended() || Instant::now() >= self.until {
            return Ok(Seen::Never);
        }
        self.looks += 1;
        let next = match self.looks {
            ..EARLY_LOOKS => EARLY_LOOK,
            _ => LOOK,
        };
        let timer = match self.timer.take() {
            Some(timer) => Ok(timer),
            None => Timer::new(),
        };
        let set = timer.and_then(|timer| timer.set_after(next).map(|()| timer));
        self.timer = Some(set.map_err(Failure::at("cannot set the timer for the scope"))?);
        Ok(Seen::NotYet)
    }

    /// Its holder, as soon as init is there, too: see [`Holder::relieve`].
    pub(super) fn relieve(self) -> Option<Holder> {
        self.holder.relieve(&self.spec)
    }

    /// Dismisses the holder. Returns the spec, for a scope that the run asks for itself.
    pub(super) fn give_up(self) -> ScopeSpec {
        self.holder.dismiss();
        self.spec
    }
}
