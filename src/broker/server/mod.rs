//! The broker's own process: it takes connections and gives each a keeper. It never waits for
//! anybody.
//!
//! This process reads nothing that callers send. It knows of them what the kernel says, and what
//! their keepers report. The keepers are a [`Pool`], and this is its front.

mod adopt;
mod allowed;
mod answers;
mod arrival;
mod attend;
mod authorise;
mod circumstances;
mod groups;
mod introduction;
mod known;
mod listener;
pub(crate) mod own;
mod peer;
mod prepared;
mod read;
mod rehearsal;
mod state;
mod steward;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::barrier::Barrier;
use crate::caller::Caller;
use crate::error::chain;
use crate::failure::Failure;
use crate::output::write_all;
use crate::pool::{Beginning, Front, Pool};
use crate::request::BrokerOptions;
use crate::sys::credentials;
use crate::sys::poll::{self, Until};
use crate::sys::socket::{self, PeerIds};
use known::Known;
use listener::Listener;
use prepared::Prepared;
#[cfg(fuzzing)]
pub(super) use rehearsal::examine;
use state::State;

/// The front of the pool: what a keeper does that serves a caller.
#[derive(Debug)]
struct Callers<'a> {
    /// The file of the configuration; `None` is the usual one.
    config: Option<&'a Path>,
    /// What polkit has allowed.
    known: Known,
}

impl Front for Callers<'_> {
    type Prepared = Prepared;

    fn prepare(&self) -> io::Result<Prepared> {
        Prepared::make(self.config)
    }

    fn attend(&self, beginning: Beginning<Prepared>) {
        attend::attend(beginning, self.config, &self.known);
    }

    fn remember(&mut self, uid: u32, note: &[u8]) {
        self.known.take_in(uid, note);
    }

    fn refuse(&self, connection: BorrowedFd<'_>, refusal: &Failure) {
        attend::refuse(connection, refusal);
    }
}

/// Serves until a signal says stop. Keepers of runs that are under way survive this, and tell their
/// callers how the runs end.
pub(crate) fn run(options: &BrokerOptions) -> Result<(), Failure> {
    Caller::refuse_set_user_id()?;
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::new(
            "the broker must be started as root: systemctl start isolate.socket",
        ));
    }
    let most = getrlimit(Resource::RLIMIT_NOFILE).map(|(_, most)| most);
    most.and_then(|most| setrlimit(Resource::RLIMIT_NOFILE, most, most))
        .map_err(Failure::at("cannot raise the limit of open files"))?;
    let listener = Listener::open(options.socket.as_deref())?;
    // Once, and not in each keeper, whose programs' process 1 inherits it. Nothing that keepers
    // execute needs rights (journalctl reads what is root's). A run where it stays says so.
    let dropped = Barrier::BoundingSet.raise(credentials::drop_bounding_set);
    if let Err(error) = dropped {
        complain("cannot empty the bounding set ahead of runs", &error);
    }
    let signals = stop_signals().map_err(Failure::at("cannot take over signals"))?;
    let state = [sd_notify::NotifyState::Ready];
    sd_notify::notify(&state).map_err(Failure::at("cannot tell systemd that we are ready"))?;
    let mut pool = Pool::new(Callers {
        config: options.config.as_deref(),
        known: Known::default(),
    });
    let mut told = State::new(options.config.as_deref());
    loop {
        if let Err(error) = pool.stand_by() {
            complain("cannot stand by", &error);
        }
        // When those who came were served.
        told.tell();
        let Events {
            stop,
            connection,
            heard,
        } = wait(&listener, &signals, &pool).map_err(Failure::at("cannot wait for callers"))?;
        if stop {
            pool.leave();
            return Ok(());
        }
        // Keepers first: they may give back what a new caller needs.
        pool.hear(&heard);
        if connection {
            take_connections(&listener, &mut pool);
        }
        if let Err(error) = pool.turn_away() {
            complain("cannot turn connections away", &error);
        }
        while let Some(served) = pool.serve() {
            if let Err(error) = served {
                // Processes or descriptors are used up; keepers that end give some back.
                complain("cannot serve a connection", &error);
                break;
            }
        }
    }
}

/// What the broker waits for.
struct Events {
    /// A signal asks the broker to end.
    stop: bool,
    /// Somebody has connected.
    connection: bool,
    /// Keepers that ask something or have ended, by their places in the pool.
    heard: Vec<usize>,
}

fn wait(listener: &Listener, signals: &SignalFd, pool: &Pool<Callers<'_>>) -> io::Result<Events> {
    let own = [signals.as_fd(), listener.as_fd()];
    let awaited = own.into_iter().chain(pool.heard_at());
    let ready = poll::each(awaited.map(poll::readable), Until::Forever)?;
    let heard = ready.iter().skip(own.len()).enumerate();
    Ok(Events {
        stop: ready[0],
        connection: ready[1],
        heard: heard
            .filter_map(|(at, is_ready)| is_ready.then_some(at))
            .collect(),
    })
}

/// The signals that end the broker; among them is the hang-up of a terminal, for a trial.
fn stop_signals() -> nix::Result<SignalFd> {
    let watched: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]
        .into_iter()
        .collect();
    watched.thread_block()?;
    SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// The most connections that are taken before keepers are heard again.
const AT_ONCE: usize = 16;

/// Takes connections.
fn take_connections(listener: &Listener, pool: &mut Pool<Callers<'_>>) {
    pool.look_at_owners();
    for _ in 0..AT_ONCE {
        let connection = match listener.accept() {
            Ok(Some(connection)) => connection,
            Ok(None) => break,
            Err(error) => {
                // Descriptors or memory are used up; keepers that end give some back.
                complain("cannot take a connection", &error);
                break;
            }
        };
        if let Ok(PeerIds { uid, .. }) = socket::peer_ids(connection.as_fd()) {
            pool.take(uid, connection);
        }
    }
}

/// Writes to standard error, which is the journal.
fn complain(what: &str, error: &io::Error) {
    let line = format!("isolate-run: {what}: {}\n", chain(error));
    // A line that cannot be written cannot be reported either.
    write_all(io::stderr(), line.as_bytes()).ok();
}
