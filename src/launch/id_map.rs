//! Mounts in which the files of a user are the program's: on disk their owner is the user, inside
//! it is the box user, and what the program makes is the user's on disk.
//!
//! The map exchanges the ids of the two, and leaves all others as they are but root's: what root
//! owns on disk belongs to nobody inside, and the program can neither write to nor remove it.

use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::quantity::Ids;
use crate::sys::mount;
use crate::sys::namespace::{self, UserNamespace};

/// The last id that a file can have, and one more.
const END: u32 = u32::MAX;

/// A map of ids, which the kernel takes in the form of a user namespace.
#[derive(Debug)]
pub(crate) struct IdMap(UserNamespace);

impl IdMap {
    /// The map that exchanges `user` and `program`, neither of which may be root. The calling
    /// process must have one thread only. Fails where there are no user namespaces.
    pub(crate) fn exchanging(user: Ids, program: Ids) -> io::Result<Self> {
        let gids = exchange(user.gid, program.gid, 0);
        let (Some(uids), Some(gids)) = (exchange(user.uid, program.uid, 1), gids) else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        namespace::with_ids(&uids, &gids).map(Self)
    }

    /// Maps the ids of a detached tree, if `recursive` with all mounts below. EINVAL says that a
    /// file system in there cannot; then nothing has changed.
    pub(super) fn apply(&self, tree: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
        mount::map_ids(tree, self.0.as_fd(), recursive)
    }
}

/// Whether the files of users can be mapped in this directory, which must be in a mount of this
/// process's namespace; otherwise why not. The calling process must have one thread only, and
/// root's rights.
pub(crate) fn probe(directory: BorrowedFd<'_>) -> io::Result<()> {
    let ids = |id| Ids { uid: id, gid: id };
    let map = IdMap::exchanging(ids(1), ids(2))?;
    map.apply(mount::copy_tree(directory, false)?.as_fd(), false)
}

/// The lines that exchange two ids, neither below `first`, and leave all others from there on as
/// they are; `None` if there are no such two.
fn exchange(one: u32, other: u32, first: u32) -> Option<String> {
    let (low, high) = (one.min(other), one.max(other));
    if low == high || low < first || high == END || low == 0 {
        return None;
    }
    let mut lines = String::new();
    for (from, to, count) in [
        (first, first, low - first),
        (low, high, 1),
        (low + 1, low + 1, high - low - 1),
        (high, low, 1),
        (high + 1, high + 1, END - high - 1),
    ] {
        if count > 0 {
            writeln!(lines, "{from} {to} {count}").ok()?;
        }
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ids_are_exchanged_and_all_others_stay_but_those_below_the_first() {
        let lines = exchange(60_000, 1000, 1).unwrap();
        assert_eq!(
            lines,
            "1 1 999\n1000 60000 1\n1001 1001 58999\n60000 1000 1\n60001 60001 4294907294\n"
        );
        let lines = exchange(1, 2, 1).unwrap();
        assert_eq!(lines, "1 2 1\n2 1 1\n3 3 4294967292\n");
        let lines = exchange(1, 3, 0).unwrap();
        assert!(lines.starts_with("0 0 1\n1 3 1\n2 2 1\n3 1 1\n"), "{lines}");
        let last = END - 1;
        assert!(
            exchange(5, last, 1)
                .unwrap()
                .ends_with(&format!("{last} 5 1\n"))
        );
    }

    #[test]
    fn root_and_nobody_at_all_are_never_exchanged() {
        for (one, other, first) in [(0, 7, 1), (7, 0, 0), (7, 7, 1), (7, END, 1)] {
            assert_eq!(exchange(one, other, first), None, "{one} {other} {first}");
        }
    }
}
