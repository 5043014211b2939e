//! What the last look at all processes saw, in the file `processes` beside the locks. A look takes
//! the kernel some 10 microseconds for each process of the machine, which is more than a run for
//! some hundred of them; those who make boxes one after the other share one.
//!
//! That ids were not in use a moment ago says as much as that they are not now: whoever came by
//! them in a way of their own can begin to use them a moment later as well. That they were in use
//! says nothing, since the box may be gone by now.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use super::BoxDirError;
use super::census::open_beside;
use super::place::errno;
use super::stragglers::InUse;
use crate::clock::Moment;
use crate::sys::file::{IfLocked, lock_exclusively};

/// The file. Its lock keeps half a look from being read.
const NAME: &str = "processes";

/// For how long a look counts.
const COUNTS_FOR: Duration = Duration::from_secs(1);

/// More than the ids of all processes of a machine take. A longer list is not noted.
const LONGEST: usize = 64 << 10;

/// What the last look saw, if it was one at the processes that this process sees, and counts still.
/// A note that cannot be read or understood is none.
pub(super) fn last_look(place: BorrowedFd<'_>, locks: &Path) -> Option<InUse> {
    let file = open(place, locks).ok()?;
    let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
    let mut text = vec![0; length.min(LONGEST)];
    file.read_exact_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(&text).ok()?;
    read(text, Moment::now().ok()?, whose().ok()?)
}

/// Notes what a look saw that began at `moment`. Where that is not possible, others look
/// themselves.
pub(super) fn note(place: BorrowedFd<'_>, locks: &Path, seen: &InUse, moment: Moment) {
    let noted = || -> Result<(), Box<dyn std::error::Error>> {
        let text = write(seen, moment, whose()?);
        if text.len() <= LONGEST {
            let file = open(place, locks)?;
            file.write_all_at(text.as_bytes(), 0)?;
            file.set_len(text.len().try_into()?)?;
        }
        Ok(())
    };
    if let Err(error) = noted() {
        log::debug!("which ids processes have is not noted: {error}");
    }
}

/// Opens the file, unless somebody else reads or writes it just now.
fn open(place: BorrowedFd<'_>, locks: &Path) -> Result<File, BoxDirError> {
    let file = open_beside(place, locks, NAME)?;
    lock_exclusively(file.as_fd(), IfLocked::Refuse)
        .map_err(|error| BoxDirError::at("lock", &locks.join(NAME))(errno(&error)))?;
    Ok(file.into())
}

/// The PID namespace of this process: what a look sees depends on it.
fn whose() -> io::Result<u64> {
    Ok(std::fs::metadata("/proc/self/ns/pid")?.ino())
}

/// Two lines of ids, of users and of groups, below one with the moment and the PID namespace.
fn write(seen: &InUse, moment: Moment, whose: u64) -> String {
    let [uids, gids] = seen.all().map(|ids| {
        let words: Vec<_> = ids.map(|id| id.to_string()).collect();
        words.join(" ")
    });
    format!("{} {whose}\n{uids}\n{gids}\n", moment.to_nanoseconds())
}

fn read(text: &str, now: Moment, whose: u64) -> Option<InUse> {
    let [head, uids, gids] = text.strip_suffix('\n')?.split('\n').collect::<Vec<_>>()[..] else {
        return None;
    };
    let (moment, seen_by) = head.split_once(' ')?;
    let moment = Moment::from_nanoseconds(moment.parse().ok()?);
    // One that is still to come was noted before a reboot.
    let counts = moment <= now && now.since(moment) <= COUNTS_FOR;
    if !counts || seen_by.parse() != Ok(whose) {
        return None;
    }
    let ids = |line: &str| line.split_ascii_whitespace().map(str::parse).collect();
    InUse::of(ids(uids), ids(gids)).ok()
}

#[cfg(test)]
mod tests {
    use super::super::Owner;
    use super::super::tests::me;
    use super::*;

    fn seconds(seconds: u64) -> Moment {
        Moment::from_nanoseconds(seconds * 1_000_000_000)
    }

    #[test]
    fn a_look_is_shared_for_a_moment_by_those_who_see_the_same() {
        let seen = InUse::look().unwrap();
        let text = write(&seen, seconds(7), 42);
        let again = read(&text, seconds(8), 42).unwrap();
        assert!(again.has(me()));
        assert!(!again.has(Owner {
            uid: 4_000_000_000,
            gid: 4_000_000_000
        }));
        for (now, whose) in [(9, 42), (6, 42), (7, 43)] {
            assert!(read(&text, seconds(now), whose).is_none(), "{now} {whose}");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_look() {
        let now = seconds(1);
        assert!(read("1000000000 1\n1 2\n\n", now, 1).is_some());
        for text in [
            "",
            "\n\n\n",
            "1000000000\n1\n1\n",
            "1000000000 1\n1\n",
            "1000000000 1\n1\n1",
            "1000000000 1\n1\n1\n1\n",
            "1000000000 1\n1 x\n1\n",
            "1000000000 1\n1\n-1\n",
            "1000000000 1\n1\n4294967296\n",
        ] {
            assert!(read(text, now, 1).is_none(), "{text}");
        }
    }

    #[test]
    fn what_was_noted_is_found_unless_somebody_works_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = File::open(dir.path()).unwrap();
        let find = || last_look(place.as_fd(), dir.path());
        assert!(find().is_none());
        let seen = InUse::look().unwrap();
        note(place.as_fd(), dir.path(), &seen, Moment::now().unwrap());
        assert!(find().unwrap().has(me()));
        let busy = open(place.as_fd(), dir.path()).unwrap();
        assert!(find().is_none());
        drop(busy);
        // A shorter one leaves nothing of a longer one behind.
        let none = InUse::of(Ok([].into()), Ok([].into())).unwrap();
        note(place.as_fd(), dir.path(), &none, Moment::now().unwrap());
        assert!(!find().unwrap().has(me()));
    }
}
