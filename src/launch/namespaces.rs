//! The namespaces of a run besides its mount and PID namespaces. A network namespace takes as long
//! as the rest of the sandbox. Under systemd those of `spare` stand ready, or init makes them while
//! systemd makes the scope. Elsewhere a keeper that stands by makes them ahead of its request, and
//! another one has them made while it reads what is configured, if a CPU is idle.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::MsgFlags;
use nix::sys::utsname::uname;
use nix::unistd::sethostname;

use super::affinity::online_cpus;
use super::message::StepFailure;
use super::step::Step;
use crate::barrier::Barrier;
use crate::sys::namespace::set_domain_name;
use crate::sys::network::bring_loopback_up;
use crate::sys::packet;
use crate::sys::process::{self, Cloned, Ending};
use crate::sys::socket;
use crate::way;

/// The name of the host inside: the same on every machine, and one that every `/etc/hosts` knows,
/// also that of the machine, which a rule may show.
pub(super) const HOST_NAME: &str = "localhost";

/// The name of the domain inside: that of a kernel to which nobody has told one (uname(2)).
pub(super) const DOMAIN_NAME: &str = "(none)";

const NETWORK: CloneFlags = CloneFlags::CLONE_NEWNET;

/// The paths of a process's own namespaces (namespaces(7)).
const OF_THIS_PROCESS: [(CloneFlags, &str); 3] = [
    (CloneFlags::CLONE_NEWIPC, "/proc/self/ns/ipc"),
    (CloneFlags::CLONE_NEWUTS, "/proc/self/ns/uts"),
    (NETWORK, "/proc/self/ns/net"),
];

/// Which network the program sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// One of its own, with a loopback interface and nothing else.
    Own,
    /// The host's.
    Hosts,
}

/// Namespaces of each kind. They live as long as a process is in them or a descriptor is open.
#[derive(Debug)]
pub(crate) struct Namespaces {
    each: [(CloneFlags, File); 3],
    /// Who made them, if it is a child of this process: it has ended, or ends soon.
    _maker: Option<Ending>,
}

/// Namespaces that are being made while the calling process does something else.
#[derive(Debug)]
pub(crate) struct Coming {
    /// The process that makes them.
    maker: Ending,
    socket: OwnedFd,
}

impl Coming {
    /// Has namespaces made on another CPU for root, if one is idle: together it takes longer. The
    /// calling process must have one thread.
    pub(crate) fn begin() -> Option<Self> {
        let is_worth_it = way::rootless().is_none() && is_any_cpu_idle();
        let begun = is_worth_it.then(Self::clone_off)?;
        begun
            .inspect_err(|error| log::debug!("no namespaces are made ahead: {error}"))
            .ok()
    }

    fn clone_off() -> io::Result<Self> {
        let (ours, theirs) = socket::pair()?;
        match process::clone(0, None)? {
            Cloned::Child => {
                drop(ours);
                // Without them init makes others, and says why it cannot.
                make_for(theirs.as_fd()).ok();
                process::exit_now(0)
            }
            Cloned::Parent { pidfd, .. } => Ok(Self {
                maker: Ending(pidfd),
                socket: ours,
            }),
        }
    }

    /// Waits until they are made; `None` where they cannot be.
    pub(crate) fn wait(self) -> Option<Namespaces> {
        let kinds = OF_THIS_PROCESS.map(|(kind, _)| kind);
        let socket = self.socket.as_fd();
        let packet = packet::receive_packet(socket, &mut [0], kinds.len(), MsgFlags::empty());
        let made: [OwnedFd; 3] = packet.ok()?.descriptors.try_into().ok()?;
        let mut made = made.into_iter().map(File::from);
        let mut next = |kind| made.next().map(|file| (kind, file));
        let [ipc, uts, network] = kinds.map(&mut next);
        Some(Namespaces {
            each: [ipc?, uts?, network?],
            _maker: Some(self.maker),
        })
    }
}

/// Makes namespaces, and hands them over.
fn make_for(socket: BorrowedFd<'_>) -> io::Result<()> {
    make(Network::Own).map_err(|_| io::ErrorKind::Other)?;
    let Namespaces { each, .. } = Namespaces::of_this_process()?;
    let files = each.each_ref().map(|(_, file)| file.as_fd());
    packet::send_packet(socket, &[0], &files, MsgFlags::empty())
}

/// Whether fewer processes are ready to run than there are CPUs (proc_loadavg(5)); no when in
/// doubt.
fn is_any_cpu_idle() -> bool {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let ready = text.split_whitespace().nth(3).and_then(|word| {
        let (ready, _) = word.split_once('/')?;
        ready.parse::<usize>().ok()
    });
    ready
        .zip(online_cpus().ok())
        .is_some_and(|(ready, cpus)| ready < cpus)
}

impl Namespaces {
    /// Makes new namespaces and returns to the old ones; `None` where none can be made, which init
    /// will report. The process must have one thread, and must end after an error: nobody knows
    /// which namespaces it is in then.
    ///
    /// A process that is root of a user namespace alone would have no way back.
    pub(crate) fn ahead() -> io::Result<Option<Self>> {
        if way::rootless().is_some() {
            return Ok(None);
        }
        let Ok(before) = Self::of_this_process() else {
            return Ok(None);
        };
        let made = make(Network::Own).is_ok();
        let new = Self::of_this_process();
        before.join(CloneFlags::all())?;
        Ok(new.ok().filter(|_| made))
    }

    fn of_this_process() -> io::Result<Self> {
        let [ipc, uts, network] =
            OF_THIS_PROCESS.map(|(kind, path)| File::open(path).map(|file| (kind, file)));
        Ok(Self {
            each: [ipc?, uts?, network?],
            _maker: None,
        })
    }

    /// Moves this process into them. It keeps its network unless it is to have its own.
    pub(super) fn enter(&self, network: Network) -> Result<(), StepFailure> {
        self.join(kinds(network))
            .map_err(StepFailure::at(Step::Namespaces))
    }

    fn join(&self, kinds: CloneFlags) -> nix::Result<()> {
        let mut chosen = self.each.iter().filter(|(kind, _)| kinds.contains(*kind));
        chosen.try_for_each(|(kind, file)| setns(file, *kind))
    }
}

/// Moves this process into new namespaces. It keeps its network unless it is to have its own.
pub(super) fn make(network: Network) -> Result<(), StepFailure> {
    unshare(kinds(network)).map_err(StepFailure::at(Step::Namespaces))?;
    set_names(DOMAIN_NAME).map_err(StepFailure::at(Step::HostName))?;
    if network == Network::Own {
        bring_loopback_up().map_err(StepFailure::at(Step::Loopback))?;
    }
    Ok(())
}

/// Sets the name of the host, and of a domain, unless they have these names: each change of the
/// first wakes journald.
pub(super) fn set_names(domain: &str) -> io::Result<()> {
    let names = uname()?;
    if names.nodename() != HOST_NAME {
        sethostname(HOST_NAME)?;
    }
    match names.domainname() == domain {
        true => Ok(()),
        false => set_domain_name(domain),
    }
}

/// The kinds of namespaces that a run has besides mount and PID namespaces.
pub(super) fn kinds(network: Network) -> CloneFlags {
    let mut kinds = CloneFlags::empty();
    kinds.set(CloneFlags::CLONE_NEWIPC, Barrier::IpcNamespace.stands());
    kinds.set(CloneFlags::CLONE_NEWUTS, Barrier::UtsNamespace.stands());
    let own_network = network == Network::Own && Barrier::NetworkNamespace.stands();
    kinds.set(NETWORK, own_network);
    kinds
}
