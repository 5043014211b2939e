//! Namespaces that stand ready for the next run of a box: those of the process that keeps its
//! scope. A network namespace takes as long to make as all the rest of the sandbox; that process
//! makes one when a run is over and nobody waits, and init goes where it is. With it comes a mount
//! namespace without any of the host's mounts, which need not be copied then and let go of again;
//! all that is there is a [`/dev`](super::spare_dev) for programs.
//!
//! Each set serves one run; only a network namespace in which nothing is left of it, by
//! [`traces`](super::traces), is in the next set, too. The name of the domain says whether a set
//! was used: it is a mark of its maker's own, until init takes the set for a program and names the
//! domain as always. A program has no rights over the namespace and cannot set it back.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use nix::fcntl::AT_FDCWD;
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::utsname::uname;
use nix::unistd::{chdir, fchdir, pivot_root};

use super::message::StepFailure;
use super::namespaces::{self, DOMAIN_NAME, Network, kinds, set_names};
use super::root::OldRoot;
use super::spare_dev::SpareDev;
use super::step::Step;
use super::traces::Traces;
use crate::barrier::Barrier;
use crate::box_dir::Kept;
use crate::sys::mount;
use crate::way;

/// The mount namespace.
const MOUNTS: CloneFlags = CloneFlags::CLONE_NEWNS;

/// The first user namespace (linux/proc_ns.h, PROC_USER_INIT_INO). In any other the kernel mounts
/// proc and sysfs only where a whole one is to be seen, and among the mounts of a set none is.
const FIRST_USERS: u64 = 0xeffffffd;

/// Where a set may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spare<'a> {
    /// The process that keeps the scope.
    pub(crate) pidfd: BorrowedFd<'a>,
    /// The same, by name.
    pub(crate) keeps: Kept,
}

impl Spare<'_> {
    /// Moves this process, which is among its maker's mounts, into the set, or into namespaces of
    /// its own if there is none, or it was used. Its mounts are its own in any case.
    pub(super) fn enter(&self, network: Network) -> Result<OldRoot, StepFailure> {
        let joined = match self.is_there() {
            // Its maker may end in between. Then nothing was joined: setns does all or nothing.
            Ok(true) => self.join(network).ok(),
            Ok(false) | Err(_) => None,
        };
        let (old_root, is_fresh) = match joined {
            Some(is_fresh) => (OldRoot::Spares, is_fresh),
            None => (OldRoot::Hosts, false),
        };
        unshare(MOUNTS).map_err(StepFailure::at(Step::Namespaces))?;
        match is_fresh {
            true => set_names(DOMAIN_NAME).map_err(StepFailure::at(Step::HostName))?,
            false => namespaces::make(network)?,
        }
        Ok(old_root)
    }

    /// Whether there is a fresh set, seen in its UTS namespace alone. Only then are the maker's
    /// mounts what they will be: before that they may be the host's, or about to be let go of.
    fn is_there(&self) -> io::Result<bool> {
        setns(self.pidfd, CloneFlags::CLONE_NEWUTS)?;
        is_marked(self.keeps)
    }

    /// Whether the set where this process is then is fresh: its maker may have gone on.
    fn join(&self, network: Network) -> io::Result<bool> {
        // All at once: never into a part of one set and a part of the next.
        setns(self.pidfd, kinds(network) | MOUNTS)?;
        Ok(is_marked(self.keeps).unwrap_or(false))
    }
}

/// A process that keeps a scope, and is ready to make sets.
#[derive(Debug)]
pub(crate) struct Ready {
    keeps: Kept,
    /// Where they cannot be looked for, each set has a new network.
    traces: Option<Traces>,
}

impl Ready {
    /// Moves the calling process, which is this one, away from the host's mounts. `None` where no
    /// sets are made. The control group of the scope has this path.
    pub(crate) fn new(keeps: Kept, scope: &Path) -> io::Result<Option<Self>> {
        if !is_possible() || fs::metadata("/proc/self/ns/user")?.ino() != FIRST_USERS {
            return Ok(None);
        }
        let dev = SpareDev::take()?;
        let traces = Traces::new(scope).ok();
        unshare(MOUNTS)?;
        let private = mount::Change {
            recursive: true,
            ..mount::Change::default()
        };
        mount::change(AT_FDCWD, c"/", private)?;
        let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
        let options = [(c"mode", c"555"), (c"size", c"4k"), (c"nr_inodes", c"4")];
        let empty = mount::new_file_system(c"tmpfs", &options, attributes)?;
        mount::attach(empty.as_fd(), AT_FDCWD, c"/")?;
        dev.put_below(empty.as_fd())?;
        let seal = mount::Change {
            set: MOUNT_ATTR_RDONLY,
            ..mount::Change::default()
        };
        mount::change(empty.as_fd(), c"", seal)?;
        fchdir(&empty)?;
        pivot_root(".", ".")?;
        umount2(".", MntFlags::MNT_DETACH)?;
        chdir("/")?;
        Ok(Some(Self { keeps, traces }))
    }

    /// The descriptors that it needs.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> + use<> {
        let traces = self.traces.as_ref().map(Traces::descriptors);
        traces.into_iter().flatten()
    }

    /// Moves the calling process into a new set, unless the one where it is was not used. If all
    /// processes of its run are dead, the network may stay.
    pub(crate) fn make(&mut self, are_dead: bool) -> io::Result<()> {
        if is_marked(self.keeps)? {
            return Ok(());
        }
        let stays = are_dead && self.traces.as_ref().is_some_and(Traces::are_none);
        let network = match stays {
            true => Network::Hosts,
            false => Network::Own,
        };
        let mut traces = self.traces.as_mut().filter(|_| !stays);
        if let Some(traces) = &mut traces {
            traces.forget();
        }
        namespaces::make(network).map_err(|_| io::ErrorKind::Other)?;
        if let Some(traces) = traces {
            traces.begin();
        }
        // Last of all: until now nobody takes it.
        set_names(&mark(self.keeps))
    }
}

/// Whether there are sets: not with root of a user namespace alone, and not where a test does
/// without one of the namespaces, or keeps the host's root.
pub(super) fn is_possible() -> bool {
    let all = CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNET;
    let stand = kinds(Network::Own) == all && Barrier::OldRootDetached.stands();
    way::rootless().is_none() && stand
}

fn is_marked(keeps: Kept) -> io::Result<bool> {
    Ok(uname()?.domainname() == mark(keeps).as_str())
}

/// Of which kind a set is, by its maker's release: to be counted up when another thing lies there.
const KIND: &str = concat!(env!("CARGO_PKG_VERSION"), ".2");

/// The name of the domain in a set that was not used. It is the process's own, so that no domain is
/// called so by chance, and that of this release: what another one leaves there may differ.
fn mark(keeps: Kept) -> String {
    let Kept { pid, start } = keeps;
    format!("isolate-spare-{pid}-{start}-{KIND}")
}
