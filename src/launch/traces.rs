//! What the runs before have left in a network namespace, when all their processes are dead. Where
//! they have left nothing it is as good as a new one, which takes the kernel longer to make, and
//! then to take apart, than all the rest of a sandbox; and few programs use the network that they
//! have to themselves.
//!
//! A program leaves things there by sockets. The kernel keeps much of what those of the Internet
//! did (connections that wait for their end, groups that were left, keys, labels, counters), and
//! shows it in part; so one such socket is enough, whatever it did, and the kernel counts them as
//! they are made. Other sockets may be open still, where a program has handed them out; and those
//! of netlink can ask for routes, which the kernel then remembers: it is made to forget those of
//! IPv4, and what it shows of those of IPv6, and of its searches, is looked at.
//!
//! Whoever may have sockets that this does not know, or make them past the filter, does not come
//! here ([`knows_all_of`]).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::write;

use crate::sys::bpf::SocketCount;
use crate::syscall_set::{Restriction, SyscallSet};

/// Open sockets. The first line is about this namespace alone.
const SOCKETS: &str = "self/net/sockstat";

/// That line, where no socket is open.
const NO_SOCKETS: &str = "sockets: used 0\n";

/// How many routes of IPv6 the kernel remembers, and how often it has searched for one of IPv4.
/// Neither is there on every machine (IPv6, `CONFIG_IP_FIB_TRIE_STATS`).
const ROUTES: [&str; 2] = ["self/net/rt6_stats", "self/net/fib_triestat"];

/// What is written here makes the kernel forget those of IPv4 (ip-sysctl).
const FORGET: &str = "sys/net/ipv4/route/flush";

/// Whether programs to which all but this is allowed have only sockets that leave what is known.
pub(super) fn knows_all_of(refused: SyscallSet) -> bool {
    let needed = [
        Restriction::RareSockets,
        Restriction::Vsock,
        Restriction::IoUring,
    ];
    needed.iter().all(|needed| refused.contains(*needed))
}

/// A network namespace, and what there was when it was new.
#[derive(Debug)]
pub(super) struct Traces {
    /// The root of `/proc`, whose files are those of the namespace where this process is.
    proc: OwnedFd,
    made: SocketCount,
    /// What was counted before the namespace was new.
    before: Option<u64>,
    when_new: Option<Seen>,
}

/// What is looked at.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Internet sockets that were ever made in the scope.
    made: u64,
    /// [`ROUTES`].
    routes: Vec<u8>,
}

impl Traces {
    /// For the namespaces where the calling process will be, and the programs of this scope will,
    /// which has the path of its control group. The process must be among the host's mounts.
    pub(super) fn new(scope: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let proc = open("/proc", flags, Mode::empty())?;
        let made = SocketCount::begin(File::open(scope)?.as_fd())?;
        Ok(Self {
            proc,
            made,
            before: None,
            when_new: None,
        })
    }

    /// The descriptors that it needs.
    pub(super) fn descriptors(&self) -> [RawFd; 3] {
        let [map, link] = self.made.descriptors();
        [self.proc.as_raw_fd(), map, link]
    }

    /// Says that the process leaves the namespace, so that what was noted is of no use.
    pub(super) fn forget(&mut self) {
        self.when_new = None;
        self.before = self.made.read().ok();
    }

    /// Notes what there is in the new namespace where this process is. It has made a socket there,
    /// for the loopback device, so that it shows whether sockets are counted at all: a kernel that
    /// classifies packets by control groups of version 1 may run no programs of this one.
    pub(super) fn begin(&mut self) {
        let seen = self.look().ok();
        let counts = |seen: &Seen| self.before.is_some_and(|before| seen.made > before);
        self.when_new = seen.filter(counts);
    }

    /// Whether nothing is left there, or will be seen. No when in doubt.
    pub(super) fn are_none(&self) -> bool {
        let Some(when_new) = &self.when_new else {
            return false;
        };
        let proc = self.proc.as_fd();
        has_no_sockets(proc).unwrap_or(false)
            && forget_routes(proc).is_ok()
            && self.look().is_ok_and(|now| now == *when_new)
    }

    fn look(&self) -> io::Result<Seen> {
        let mut routes = Vec::new();
        for path in ROUTES {
            match read(self.proc.as_fd(), path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                text => routes.append(&mut text?),
            }
        }
        let made = self.made.read()?;
        Ok(Seen { made, routes })
    }
}

fn has_no_sockets(proc: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(read(proc, SOCKETS)?.starts_with(NO_SOCKETS.as_bytes()))
}

fn forget_routes(proc: BorrowedFd<'_>) -> nix::Result<usize> {
    let file = openat(
        proc,
        FORGET,
        OFlag::O_WRONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    write(&file, b"1")
}

fn read(proc: BorrowedFd<'_>, path: &str) -> io::Result<Vec<u8>> {
    let file = openat(
        proc,
        path,
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    );
    // With room for all of it, or it would be asked for in pieces.
    let mut text = Vec::with_capacity(1024);
    File::from(file.map_err(|errno: Errno| io::Error::from(errno))?).read_to_end(&mut text)?;
    Ok(text)
}
