//! What the last look at all processes saw, in the file `processes` beside the locks. A look takes
//! the kernel some 10 microseconds for each process of the machine, which is more than a run for
//! some hundred of them; those who make boxes one after the other share one.
//!
//! That ids were not in use a moment ago says as much as that they are not now: whoever came by
//! them in a way of their own can begin to use them a moment later as well. That they were in use
//! says nothing, since the box may be gone by now.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::BoxDirError;
use super::census::open_beside;
use super::place::errno;
use super::stragglers::InUse;
use crate::clock::Moment;
use crate::sys::credentials;
use crate::sys::file::{IfLocked, lock_exclusively};

/// The file. Its lock keeps half a look from being read.
const NAME: &str = "processes";

/// For how long a look counts.
const COUNTS_FOR: Duration = Duration::from_secs(1);

/// More than the ids of all processes of a machine take. A longer list is not noted.
const LONGEST: usize = 64 << 10;

/// When a look began, and what it could see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    moment: Moment,
    /// The time of day, which tells this boot from an earlier one.
    time: Duration,
    /// The file system at `/proc`: each PID namespace has its own.
    seen: u64,
}

impl Look {
    /// One that begins now. `None`: it may not see all processes, and counts for nobody else.
    pub(super) fn begin() -> Option<Self> {
        let sees_all = credentials::sees_hidden_processes().ok()?;
        let now = || -> io::Result<Self> {
            Ok(Self {
                moment: Moment::now()?,
                time: SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_err(io::Error::other)?,
                seen: fs::metadata("/proc")?.dev(),
            })
        };
        now().ok().filter(|_| sees_all)
    }

    /// Whether it counts for another one that begins `later`.
    fn counts_for(self, later: Self) -> bool {
        let by_both = [
            later.time.checked_sub(self.time),
            (self.moment <= later.moment).then(|| later.moment.since(self.moment)),
        ];
        let counts = |age: Option<Duration>| age.is_some_and(|age| age <= COUNTS_FOR);
        self.seen == later.seen && by_both.into_iter().all(counts)
    }

    /// The line that says so.
    fn line(self) -> String {
        let Self { moment, time, seen } = self;
        let (moment, time) = (moment.to_nanoseconds(), time.as_nanos());
        format!("{moment} {time} {seen}")
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Result<Vec<u64>, _> = line.split(' ').map(str::parse).collect();
        let [moment, time, seen] = words.ok()?[..] else {
            return None;
        };
        Some(Self {
            moment: Moment::from_nanoseconds(moment),
            time: Duration::from_nanos(time),
            seen,
        })
    }
}

/// What the last look saw, if it counts for one that begins `now`. A note that cannot be read or
/// understood is none.
pub(super) fn last_look(place: BorrowedFd<'_>, locks: &Path, now: Look) -> Option<InUse> {
    let file = open(place, locks).ok()?;
    let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
    let mut text = vec![0; length.min(LONGEST)];
    file.read_exact_at(&mut text, 0).ok()?;
    read(std::str::from_utf8(&text).ok()?, now)
}

/// Notes what a look saw. Where that is not possible, others look themselves.
pub(super) fn note(place: BorrowedFd<'_>, locks: &Path, seen: &InUse, look: Look) {
    let noted = || -> Result<(), Box<dyn std::error::Error>> {
        let text = write(seen, look);
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

/// Two lines of ids, of users and of groups, between two that are the same and say which look it
/// was: half a note, over another one, is none.
fn write(seen: &InUse, look: Look) -> String {
    let [uids, gids] = seen.all().map(|ids| {
        let words: Vec<_> = ids.map(|id| id.to_string()).collect();
        words.join(" ")
    });
    let look = look.line();
    format!("{look}\n{uids}\n{gids}\n{look}\n")
}

fn read(text: &str, now: Look) -> Option<InUse> {
    let lines: Vec<_> = text.strip_suffix('\n')?.split('\n').collect();
    let [first, uids, gids, last] = lines[..] else {
        return None;
    };
    if first != last || !Look::parse(first)?.counts_for(now) {
        return None;
    }
    let ids = |line: &str| line.split_ascii_whitespace().map(str::parse).collect();
    InUse::of(ids(uids), ids(gids)).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::tests::me;
    use super::super::{Absent, Busy, IdPool, Lock, Owner};
    use super::*;
    use crate::quantity::BoxId;

    fn at(seconds: u64) -> Look {
        Look {
            moment: Moment::from_nanoseconds(seconds * 1_000_000_000),
            time: Duration::from_secs(1_000_000 + seconds),
            seen: 42,
        }
    }

    #[test]
    fn a_look_is_shared_for_a_moment_by_those_who_see_the_same() {
        let seen = InUse::look().unwrap();
        let text = write(&seen, at(7));
        let again = read(&text, at(8)).unwrap();
        assert!(again.has(me()));
        let nobody = Owner {
            uid: 4_000_000_000,
            gid: 4_000_000_000,
        };
        assert!(!again.has(nobody));
        let other = |seen| Look { seen, ..at(7) };
        // Before and after a reboot the clock may say the same.
        let of_another_boot = Look {
            time: Duration::from_secs(2_000_000),
            ..at(7)
        };
        for now in [at(9), at(6), other(43), of_another_boot] {
            assert!(read(&text, now).is_none(), "{now:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_look() {
        let head = at(1).line();
        let whole = format!("{head}\n1 2\n\n{head}\n");
        assert!(read(&whole, at(1)).is_some());
        let other = at(2).line();
        for text in [
            "",
            "\n\n\n\n",
            &whole[..whole.len() - 1],
            &format!("{head}\n1\n{head}\n"),
            &format!("{head}\n1\n1\n1\n{head}\n"),
            &format!("{head}\n1 x\n1\n{head}\n"),
            &format!("{head}\n1\n-1\n{head}\n"),
            &format!("{head}\n1\n4294967296\n{head}\n"),
            &format!("{head}\n1\n1\n{other}\n"),
            &format!("{other}\n1\n1\n{head}\n"),
            "1 2\n1\n1\n1 2\n",
            "1 2 3 4\n1\n1\n1 2 3 4\n",
        ] {
            assert!(read(text, at(2)).is_none(), "{text}");
        }
    }

    /// As root: others do not see all processes, and look each time.
    #[test]
    fn who_leases_ids_trusts_a_look_but_for_the_real_uids_of_now() {
        let me = me();
        let is_trusted = Look::begin().is_some();
        let claims = |uid| loop {
            let dir = tempfile::tempdir().unwrap();
            let lock = Lock::acquire(dir.path(), BoxId(0), Absent::Create, Busy::Refuse);
            let lock = lock.unwrap().unwrap();
            let begun = Instant::now();
            if let Some(look) = Look::begin() {
                let none = InUse::of(Ok([].into()), Ok([].into())).unwrap();
                note(lock.place(), dir.path(), &none, look);
            }
            // This process has the group.
            let first = Owner { uid, gid: me.gid };
            let claimed = lock.claim(IdPool { first, size: 1 }, None, me, false);
            if begun.elapsed() < COUNTS_FOR {
                return claimed.is_ok();
            }
        };
        assert_eq!(claims(4_000_000_000), is_trusted);
        assert!(!claims(me.uid));
    }

    #[test]
    fn what_was_noted_is_found_unless_somebody_works_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = File::open(dir.path()).unwrap();
        let find = || last_look(place.as_fd(), dir.path(), at(1));
        assert!(find().is_none());
        note(place.as_fd(), dir.path(), &InUse::look().unwrap(), at(1));
        assert!(find().unwrap().has(me()));
        let busy = open(place.as_fd(), dir.path()).unwrap();
        assert!(find().is_none());
        drop(busy);
        // A shorter one leaves nothing of a longer one behind.
        let none = InUse::of(Ok([].into()), Ok([].into())).unwrap();
        note(place.as_fd(), dir.path(), &none, at(1));
        assert!(!find().unwrap().has(me()));
    }
}
