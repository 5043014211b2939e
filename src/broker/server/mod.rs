//! The broker's own process: takes connections and gives each a keeper. It never waits for anybody.
//!
//! It reads nothing that callers send. What it knows of them is the kernel's word, and what their keepers report.
//!
//! Nor does it close a connection that nobody else has open: that closes the descriptors that were sent over it and not
//! received, and whoever sent them decides how long that takes (socket(7), SO_LINGER). The end of a process does not
//! linger.

mod account;
mod adopt;
mod attend;
mod authorise;
mod children;
mod crowd;
mod foresight;
mod listener;
mod owners;
mod peer;
mod rehearsal;
mod spare;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::caller::Caller;
use crate::error::chain;
use crate::failure::Failure;
use crate::output::write_all;
use crate::request::BrokerOptions;
use crate::sys::poll::{self, Until};
use crate::sys::process::{self, Cloned};
use crate::sys::socket::{self, PeerIds};
use children::{Children, Refused, Waiting};
use listener::Listener;
#[cfg(fuzzing)]
pub(super) use rehearsal::examine;
use spare::{Meanwhile, Spare};

/// Serves until it is told to stop. Keepers of runs under way go on then, and tell their callers how these end.
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
    let signals = stop_signals().map_err(Failure::at("cannot take over signals"))?;
    let state = [sd_notify::NotifyState::Ready];
    sd_notify::notify(&state).map_err(Failure::at("cannot tell systemd that we are ready"))?;
    let mut children = Children::default();
    let mut spare = None;
    let mut have_ended = true;
    loop {
        // Not while somebody's run is made ready: it would take time from that. Nor in place of one that was used up by
        // what is no request: whoever floods this socket does not flood the bus.
        if have_ended && spare.is_none() {
            let meanwhile = Meanwhile::Prepare {
                config: options.config.as_deref(),
                scope: children.foresight().next_scope(),
            };
            spare = make_spare(options, meanwhile)
                .inspect_err(|error| complain("cannot stand by", error))
                .ok();
        }
        let Events {
            stop,
            connection,
            heard,
        } = wait(&listener, &signals, &children).map_err(Failure::at("cannot wait for callers"))?;
        if stop {
            // The end of this process closes the connections that wait.
            std::mem::forget(children);
            return Ok(());
        }
        // First those who give back what others may then have.
        have_ended = children.hear(&heard);
        if connection {
            let refused = take_connections(&listener, &mut children);
            if let Err(error) = turn_away(refused, &mut children) {
                complain("cannot turn connections away", &error);
            }
        }
        while let Some(waiting) = children.next() {
            if let Err(error) = serve(waiting, spare.take(), &mut children, options) {
                complain("cannot serve a connection", &error);
            }
        }
    }
}

/// What the broker waits for.
struct Events {
    /// It is to end.
    stop: bool,
    /// Somebody has connected.
    connection: bool,
    /// These have a question, or have ended: their places among the children.
    heard: Vec<usize>,
}

fn wait(listener: &Listener, signals: &SignalFd, children: &Children) -> io::Result<Events> {
    let own = [signals.as_fd(), listener.as_fd()];
    let awaited = own.into_iter().chain(children.heard_at());
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

/// Signals that end the broker. A terminal that goes away, in a trial, does, too.
fn stop_signals() -> nix::Result<SignalFd> {
    let watched: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]
        .into_iter()
        .collect();
    watched.thread_block()?;
    SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// How many connections are taken before keepers are heard again.
const AT_ONCE: usize = 16;

/// Takes connections; those that are refused come back with the reason.
fn take_connections(listener: &Listener, children: &mut Children) -> Vec<Refused> {
    let mut refused = Vec::new();
    children.look_at_owners();
    for _ in 0..AT_ONCE {
        let connection = match listener.accept() {
            Ok(Some(connection)) => connection,
            Ok(None) => break,
            Err(error) => {
                // Out of descriptors or memory: those that end give some back.
                complain("cannot take a connection", &error);
                break;
            }
        };
        let Ok(PeerIds { uid, .. }) = socket::peer_ids(connection.as_fd()) else {
            continue;
        };
        refused.extend(children.enqueue(uid, connection));
    }
    refused
}

/// Tells callers that nobody will serve them, and hangs up, in a process that ends with that.
fn turn_away(refused: Vec<Refused>, children: &mut Children) -> io::Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    let (ours, theirs) = socket::pair()?;
    match process::clone(0, None)? {
        Cloned::Child => {
            drop(ours);
            for (refusal, connection) in &refused {
                attend::refuse(connection.as_fd(), refusal);
            }
            wait_for_end(theirs.as_fd());
            process::exit_now(0)
        }
        Cloned::Parent { pidfd, .. } => {
            drop(refused);
            drop(ours);
            children.add_usher(pidfd);
            Ok(())
        }
    }
}

/// Waits until the broker has closed its side of a pair, and before it the connections that it does not have to itself.
fn wait_for_end(pair: BorrowedFd<'_>) {
    let mut nothing = [0];
    while socket::receive(pair, &mut nothing).is_ok_and(|(length, _)| length > 0) {}
}

/// Tells the journal.
fn complain(what: &str, error: &io::Error) {
    let line = format!("isolate-run: {what}: {}\n", chain(error));
    // Where nobody listens, there is nobody to tell.
    write_all(io::stderr(), line.as_bytes()).ok();
}

/// Gives a connection to a keeper of its own: the one that stands by, or a new one.
fn serve(
    waiting: Waiting,
    spare: Option<Spare>,
    children: &mut Children,
    options: &BrokerOptions,
) -> io::Result<()> {
    let connection = waiting.connection.as_fd();
    let handed_over = spare.and_then(|spare| match spare.hand_over(connection) {
        Ok(()) => Some(spare),
        Err(_) => {
            // It has died.
            process::wait_for(spare.pidfd.as_fd()).ok();
            None
        }
    });
    let Spare { pidfd, account } = match handed_over {
        Some(spare) => spare,
        None => {
            let spare = make_spare(options, Meanwhile::Nothing)?;
            spare.hand_over(connection)?;
            spare
        }
    };
    children.add(waiting, pidfd, account);
    Ok(())
}

/// Clones a keeper that stands by. In its own process this returns only when it has nothing more to do.
fn make_spare(options: &BrokerOptions, meanwhile: Meanwhile<'_>) -> io::Result<Spare> {
    match Spare::make(meanwhile)? {
        Ok(spare) => Ok(spare),
        Err(beginning) => {
            attend::attend(beginning, options.config.as_deref());
            process::exit_now(0)
        }
    }
}
