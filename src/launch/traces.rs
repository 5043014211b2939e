//! What programs have left in a network namespace, when all of them are dead. Where they have left
//! nothing it is as good as a new one, which takes the kernel longer to make, and then to take
//! apart, than all the rest of a sandbox; and few programs use the network that they have to
//! themselves.
//!
//! Nothing means: no socket is open, and of what the kernel counts there nothing has counted. A
//! packet, also one that went nowhere, counts, and so does a connection that was refused, or still
//! waits for its end. What it does not count is looked at (labels of flows, the key of fast
//! connections), or is made to count at once (groups of receivers: see [`REPORT_AT_ONCE`]). This
//! knows the usual sockets; of the others nobody has looked what they leave.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::write;

/// Open sockets of processes. The first line is about this namespace alone; those below it count
/// some things of the whole machine.
const SOCKETS: &str = "self/net/sockstat";

/// That line, where no socket is open.
const NO_SOCKETS: &str = "sockets: used 0\n";

/// What tells of everything else (proc_pid_net(5)). Where there is no IPv6, two are missing.
const COUNTS: [&str; 6] = [
    // Packets of each interface: the only one that is up is `lo`.
    "self/net/dev",
    "self/net/snmp",
    "self/net/snmp6",
    "self/net/netstat",
    "self/net/ip6_flowlabel",
    // The kernel makes it for the first listener that accepts data with the first packet.
    "sys/net/ipv4/tcp_fastopen_key",
];

/// By newer versions of these protocols the kernel tells routers of a group which a socket has left
/// up to some seconds later (RFC 3376, RFC 3810), by packets in the time of another run. In the
/// first version it says so at once or not at all (ip-sysctl, `force_igmp_version`,
/// `force_mld_version`). No router is there, and to the members of groups it is the same.
const REPORT_AT_ONCE: [&str; 2] = [
    "sys/net/ipv4/conf/all/force_igmp_version",
    "sys/net/ipv6/conf/all/force_mld_version",
];

/// A network namespace, and what it looked like when it was new.
#[derive(Debug)]
pub(super) struct Traces {
    /// The root of `/proc`, whose files are those of the namespace where this process is.
    proc: OwnedFd,
    /// What was read then; `None` where that cannot be relied on.
    when_new: Option<Vec<u8>>,
}

impl Traces {
    /// For the namespaces where the calling process will be. It must be among the host's mounts.
    pub(super) fn new() -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            proc: open("/proc", flags, Mode::empty())?,
            when_new: None,
        })
    }

    /// The descriptor that it needs.
    pub(super) fn descriptor(&self) -> RawFd {
        self.proc.as_raw_fd()
    }

    /// Notes what the new namespace looks like, where this process is.
    pub(super) fn begin(&mut self) {
        let noted = report_at_once(self.proc.as_fd()).and_then(|()| read(self.proc.as_fd()));
        self.when_new = noted.ok();
    }

    /// Whether nothing is left there. No when in doubt.
    pub(super) fn are_none(&self) -> bool {
        let Some(when_new) = &self.when_new else {
            return false;
        };
        let proc = self.proc.as_fd();
        // The sockets first: while one is open, something may come to be counted.
        has_no_sockets(proc).unwrap_or(false) && read(proc).is_ok_and(|now| now == *when_new)
    }
}

fn has_no_sockets(proc: BorrowedFd<'_>) -> io::Result<bool> {
    let mut text = Vec::new();
    append(proc, SOCKETS, &mut text)?;
    Ok(text.starts_with(NO_SOCKETS.as_bytes()))
}

/// Everything that is counted, one file after the other.
fn read(proc: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(16 << 10);
    for path in COUNTS {
        append(proc, path, &mut text)?;
    }
    Ok(text)
}

/// Appends the file, if there is one.
fn append(proc: BorrowedFd<'_>, path: &str, text: &mut Vec<u8>) -> io::Result<()> {
    match openat(
        proc,
        path,
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    ) {
        Ok(file) => File::from(file).read_to_end(text).map(drop),
        Err(nix::errno::Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn report_at_once(proc: BorrowedFd<'_>) -> io::Result<()> {
    for path in REPORT_AT_ONCE {
        match openat(
            proc,
            path,
            OFlag::O_WRONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        ) {
            Ok(file) => drop(write(&file, b"1")?),
            Err(nix::errno::Errno::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
