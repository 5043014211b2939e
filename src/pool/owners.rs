//! Which user answers for a uid. A user with a range of subordinate uids (subuid(5)) can appear as
//! many users, and counts as one.
//!
//! Only `/etc/subuid` and `/etc/passwd` are read. Ranges from elsewhere (`subid:` in nsswitch.conf)
//! are unknown here, so each of their uids counts as a user.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use crate::user;

/// Where ranges are, and the users they belong to.
const FILES: [&str; 2] = ["/etc/subuid", "/etc/passwd"];
/// How much of each file is read, in bytes: some 100 000 users.
const LONGEST: u64 = 4 << 20;

/// The ranges as they were at the last look.
#[derive(Debug, Default)]
pub(super) struct Owners {
    seen: [Option<Version>; 2],
    ranges: Vec<Range>,
    /// Users that the machine has, by name.
    users: HashMap<String, u32>,
}

/// What differs between two versions of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A range of uids, and who has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u32,
    last: u32,
    owner: u32,
}

impl Owners {
    /// Looks whether the files have changed, and reads them if so. What cannot be read is empty.
    pub(super) fn refresh(&mut self) {
        let seen = FILES.map(Version::of);
        if seen != self.seen {
            let [ranges, users] = FILES.map(|path| read(path).unwrap_or_default());
            *self = Self::from_texts(&ranges, &users);
            self.seen = seen;
        }
    }

    /// Lines that make no sense are left out. So are ranges of root, who needs none: where
    /// containers have the users of a whole directory service in such a range, they would all be
    /// one.
    fn from_texts(ranges: &str, users: &str) -> Self {
        let users: HashMap<String, u32> = users.lines().filter_map(user_of).collect();
        let ranges = ranges.lines().filter_map(|line| range_of(line, &users));
        let mut ranges: Vec<Range> = ranges.filter(|range| range.owner != 0).collect();
        // The narrowest range counts; of two alike, the first one.
        ranges.sort_by_key(|range| range.last - range.first);
        Self {
            seen: [None; 2],
            ranges,
            users,
        }
    }

    /// A user as a message tells them.
    pub(super) fn in_words(&self, uid: u32) -> String {
        let mut users = self.users.iter();
        let named = users.find(|(_, known)| **known == uid);
        user::in_words(named.map(|(name, _)| &**name), uid)
    }

    /// The uid of the user who answers for this one, or a number that all in its range share.
    pub(super) fn of(&self, uid: u32) -> u32 {
        // A uid in passwd(5) is a user, even if it lies in a range.
        if self.users.values().any(|user| *user == uid) {
            return uid;
        }
        let around = |range: &&Range| (range.first..=range.last).contains(&uid);
        self.ranges
            .iter()
            .find(around)
            .map_or(uid, |range| range.owner)
    }
}

impl Version {
    fn of(path: &str) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The beginning of a regular file. A FIFO in its place is not waited for.
fn read(path: &str) -> Option<String> {
    let mut options = OpenOptions::new();
    let file: File = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line of passwd(5).
fn user_of(line: &str) -> Option<(String, u32)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let uid = fields.nth(1)?.parse().ok()?;
    Some((name.to_owned(), uid))
}

/// A line of subuid(5). A user who is not in passwd(5) is known by the first uid of the range.
fn range_of(line: &str, users: &HashMap<String, u32>) -> Option<Range> {
    let mut fields = line.trim().split(':');
    let name = fields.next()?;
    let first: u32 = fields.next()?.parse().ok()?;
    let count: u32 = fields.next()?.parse().ok()?;
    let last = first.saturating_add(count.checked_sub(1)?);
    let known = users.get(name).copied();
    let owner = known.or_else(|| name.parse().ok()).unwrap_or(first);
    Some(Range { first, last, owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str =
        "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:\nbob:x:1001:1001::/:\nbad\nbad:x:-1:\n";

    fn owners(ranges: &str) -> impl Fn(u32) -> u32 {
        let owners = Owners::from_texts(ranges, USERS);
        move |uid| owners.of(uid)
    }

    #[test]
    fn all_uids_of_a_range_are_its_owners() {
        let of = owners("# note\nann:100000:65536\n1001:165536:65536\nldap:300000:10\n");
        for (uid, owner) in [
            (1000, 1000),
            (99_999, 99_999),
            (100_000, 1000),
            (165_535, 1000),
            (165_536, 1001),
            (231_072, 231_072),
            (300_009, 300_000),
        ] {
            assert_eq!(of(uid), owner, "{uid}");
        }
    }

    #[test]
    fn no_range_makes_users_of_the_machine_somebody_elses() {
        let of = owners("ann:0:4294967295\nbob:200000:100\n");
        assert_eq!([of(0), of(1000), of(1001)], [0, 1000, 1001]);
        assert_eq!(of(200_050), 1001);
        assert_eq!([of(300_000), of(4_294_967_294)], [1000, 1000]);
        // Root's range for containers.
        let of = owners("root:1000000:1000000000\n");
        assert_eq!([of(1_000_000), of(2_000_000)], [1_000_000, 2_000_000]);
    }

    #[test]
    fn lines_that_make_no_sense_are_left_out() {
        let of = owners(
            "\n:\nann\nann:5\nann:5:\nann:5:0\nann:-1:9\nann:x:y\nann:5:99999999999\n\u{fffd}:7:1\nann:9:2\n",
        );
        assert_eq!([of(5), of(6), of(7)], [5, 6, 7]);
        assert_eq!([of(9), of(10), of(11)], [1000, 1000, 11]);
        let of = owners("ann:4294967290:4294967295\n");
        assert_eq!([of(4_294_967_295), of(5)], [1000, 5]);
    }

    #[test]
    fn the_files_of_this_machine_can_be_read() {
        let mut owners = Owners::default();
        owners.refresh();
        assert_eq!(owners.of(0), 0);
        assert_eq!(read("/dev"), None);
        assert_eq!(read("/nowhere"), None);
    }
}
