//! The scope of a run: asked for ahead, waited for by the keeper's poll loop, verified in `/proc`.
//!
//! Asking and using are apart. [`ScopeRequest::start`] only begins the request, in a thread of its own,
//! since the bus client blocks; the keeper polls [`ScopeRequest::ready`] beside everything else and sets
//! the deadline. Nothing may be cloned after the request was started.

mod bus;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use bus::BusError;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::cgroup::hierarchy;

/// What is asked of systemd.
#[derive(Debug, Clone)]
pub(crate) struct ScopeSpec {
    /// What the name says about the run: `isolate-LABEL-RANDOM.scope`.
    pub(crate) label: String,
    /// The slice that the scope is in.
    pub(crate) slice: String,
    /// What `systemctl status` shows. Never a text that a user chose: it goes into the journal.
    pub(crate) description: String,
    /// The controllers to make available in the scope.
    pub(crate) controllers: Vec<&'static str>,
    /// After this time systemd ends the scope by itself: the backstop for a keeper that was stopped.
    pub(crate) runtime_max: Option<Duration>,
}

/// A scope that holds init.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// The unit's name.
    pub(crate) unit: String,
    /// Its cgroup.
    pub(crate) path: PathBuf,
}

/// Why there is no scope.
#[derive(Debug)]
pub(crate) enum ScopeError {
    /// The thread for the request could not be made.
    Thread(io::Error),
    /// The request to systemd failed.
    Bus {
        /// The unit that was asked for.
        unit: String,
        /// Why.
        source: BusError,
    },
    /// systemd says that the job is done, but init is not there.
    NotThere {
        /// The unit that was asked for.
        unit: String,
        /// Where init is instead.
        found: Option<PathBuf>,
    },
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thread(_) => f.write_str("cannot make the thread that talks to systemd"),
            Self::Bus { unit, .. } => write!(f, "cannot start {unit}"),
            Self::NotThere { unit, found } => {
                let found = found.as_deref().unwrap_or(Path::new("")).display();
                write!(
                    f,
                    "systemd says that it started {unit}, but init is in the cgroup '/{found}'"
                )
            }
        }
    }
}

impl std::error::Error for ScopeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
            Self::Bus { source, .. } => Some(source),
            Self::NotThere { .. } => None,
        }
    }
}

/// A scope that was asked for.
#[derive(Debug)]
pub(crate) struct ScopeRequest {
    answer: mpsc::Receiver<Result<Scope, ScopeError>>,
    ready: OwnedFd,
}

impl ScopeRequest {
    /// Asks for a scope around init.
    pub(crate) fn start(
        spec: ScopeSpec,
        mount_point: PathBuf,
        init_pid: i32,
        init_pidfd: OwnedFd,
    ) -> Result<Self, ScopeError> {
        let (sender, answer) = mpsc::channel();
        let (ready, done) =
            pipe2(OFlag::O_CLOEXEC).map_err(|errno| ScopeError::Thread(errno.into()))?;
        std::thread::Builder::new()
            .name("scope".into())
            .spawn(move || {
                let answer = acquire(&spec, &mount_point, init_pid, init_pidfd.as_fd());
                // The receiver may be gone: then nobody wants the scope any more.
                drop(sender.send(answer));
                drop(done);
            })
            .map_err(ScopeError::Thread)?;
        Ok(Self { answer, ready })
    }

    /// Reports a hang-up when the answer is there.
    pub(crate) fn ready(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    /// The answer; call it once, when [`Self::ready`] has reported.
    pub(crate) fn finish(self) -> Result<Scope, ScopeError> {
        self.answer.recv().unwrap_or_else(|_| {
            Err(ScopeError::Thread(io::Error::other(
                "it ended without an answer, which is a defect of isolate-run",
            )))
        })
    }
}

/// How often a request is repeated, under a new name each time, when its outcome is unknown.
const ATTEMPTS: usize = 5;

fn acquire(
    spec: &ScopeSpec,
    mount_point: &Path,
    init_pid: i32,
    init_pidfd: BorrowedFd<'_>,
) -> Result<Scope, ScopeError> {
    let mut attempt = 1;
    loop {
        let unit = format!("isolate-{}-{:016x}.scope", spec.label, random());
        let started = bus::start_scope(spec, &unit, init_pid, init_pidfd);
        // /proc is the truth, whatever the bus said: the call in flight during `systemctl daemon-reexec`
        // fails although systemd goes on to do what it asked for.
        let found = hierarchy::cgroup_of(&init_pid.to_string()).ok().flatten();
        let is_there = found
            .as_deref()
            .and_then(Path::file_name)
            .is_some_and(|name| name == unit.as_str());
        match (started, found) {
            (_, Some(path)) if is_there => {
                return Ok(Scope {
                    unit,
                    path: mount_point.join(path),
                });
            }
            (Ok(()), found) => return Err(ScopeError::NotThere { unit, found }),
            (Err(error), _) if error.is_transient() && attempt < ATTEMPTS => {
                attempt += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            (Err(source), _) => return Err(ScopeError::Bus { unit, source }),
        }
    }
}

/// 64 random bits: names of scopes must not meet, not even with left-overs of a failed start.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // The standard library seeds this from getrandom(2) once per process, and counts up from there.
    RandomState::new().hash_one(std::process::id())
}
