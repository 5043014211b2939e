//! Who has connected, as the kernel says and not as the caller does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::failure::Failure;
use crate::polkit::Subject;
use crate::sys::process::{has_ended, pidfd_of, start_time};
use crate::sys::socket::{PeerIds, peer_groups, peer_ids, peer_pidfd};

/// The process on the other side of a connection, as it was at the time of connect(2).
#[derive(Debug)]
pub(super) struct Peer {
    /// Its process id, user and group.
    pub(super) ids: PeerIds,
    /// The same for polkit.
    pub(super) subject: Subject,
    /// All its groups; the effective one comes first.
    pub(super) groups: Vec<u32>,
}

impl Peer {
    /// Asks the kernel.
    pub(super) fn of(connection: BorrowedFd<'_>) -> Result<Self, Failure> {
        let cannot = |error: io::Error| Failure::at("cannot find out who is calling")(error);
        let ids = peer_ids(connection).map_err(cannot)?;
        if ids.pid == 0 {
            return Err(Failure::new(
                "the calling process cannot be seen from here: it is in another PID namespace (a container?); \
                 run isolate-run where isolate.service runs",
            ));
        }
        let mut groups = peer_groups(connection).map_err(cannot)?;
        groups.insert(0, ids.gid);
        let pidfd = match peer_pidfd(connection) {
            // Before Linux 6.5. If another process has the id by now, its start time tells polkit,
            // or else polkit looks up the session of another process of the same user. The user is
            // right in any case: the kernel says it.
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => pidfd_of(ids.pid),
            other => other,
        };
        let pidfd = pidfd.map_err(cannot)?;
        let start_time = start_time(ids.pid).map_err(cannot)?;
        // This proves that the id was still theirs when the start time was read.
        if has_ended(pidfd.as_fd()).map_err(cannot)? {
            return Err(Failure::new("the calling process is gone"));
        }
        let subject = Subject {
            pid: ids.pid,
            start_time,
            uid: ids.uid,
            pidfd,
        };
        Ok(Self {
            ids,
            subject,
            groups,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::pair;

    #[test]
    fn the_peer_of_a_pair_is_this_process() {
        let (ours, _theirs) = pair().unwrap();
        let peer = Peer::of(ours.as_fd()).unwrap();
        assert_eq!(peer.ids.pid, std::process::id() as i32);
        assert_eq!(peer.ids.uid, nix::unistd::geteuid().as_raw());
        assert!(peer.subject.start_time > 0);
        let mut groups = vec![nix::unistd::getegid()];
        groups.extend(nix::unistd::getgroups().unwrap());
        let groups: Vec<u32> = groups.into_iter().map(|group| group.as_raw()).collect();
        assert_eq!(peer.groups, groups);
    }
}
