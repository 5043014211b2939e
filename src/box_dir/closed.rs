//! Since when a box is closed, by the clock that its file system writes into directories: one that
//! has not changed since then has no new names in it.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::stat::FileStat;
use nix::time::{ClockId, clock_gettime};

/// What a change of the clock during a run may be, in nanoseconds: less than [`MARGIN`].
const TOLERANCE: i128 = 500_000_000;
/// How much older than a moment a directory must be, in seconds: times of files are coarse.
const MARGIN: i64 = 1;

/// When a box was closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    since: i64,
    lead: i128,
}

impl Closed {
    /// Now: `door` is the state of the directory that was just closed.
    pub(super) fn now(door: &FileStat) -> Option<Self> {
        let (since, lead) = (door.st_ctime, lead()?);
        Some(Self { since, lead })
    }

    /// The moment, in seconds since 1970; `None` when the clock was set back meanwhile, and times
    /// say nothing.
    pub(super) fn since(self) -> Option<i64> {
        (lead()? + TOLERANCE >= self.lead).then_some(self.since)
    }
}

/// How far the time of day is ahead of the time since the boot, in nanoseconds: it changes when the
/// clock is set, and not when it is slowed down.
fn lead() -> Option<i128> {
    let day = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let boot: std::time::Duration = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?.into();
    let nanos = |time: std::time::Duration| i128::try_from(time.as_nanos()).ok();
    Some(nanos(day)? - nanos(boot)?)
}

/// Whether a directory without subdirectories has been as it is since before `since`.
pub(super) fn is_still(stat: &FileStat, since: i64) -> bool {
    stat.st_nlink == 2 && is_older(stat, since)
}

/// Whether a directory has been where it is, with the names that it has, since before `since`.
pub(super) fn is_older(stat: &FileStat, since: i64) -> bool {
    stat.st_ctime < since.saturating_sub(MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let closed = Closed::now(&nix::sys::stat::stat(dir.path()).unwrap()).unwrap();
        assert_eq!(closed.since(), Some(closed.since));
        let ahead = |nanos| Closed {
            lead: closed.lead + nanos,
            ..closed
        };
        assert!(ahead(2_000_000_000).since().is_none());
        assert!(ahead(-2_000_000_000).since().is_some());
    }

    #[test]
    fn a_directory_is_still_when_it_is_older_and_has_none_below() {
        let dir = tempfile::tempdir().unwrap();
        let mut stat = nix::sys::stat::stat(dir.path()).unwrap();
        (stat.st_nlink, stat.st_ctime) = (2, 100);
        assert!(is_still(&stat, 102));
        assert!(!is_still(&stat, 101));
        assert!(!is_still(&stat, i64::MIN));
        for links in [1, 3] {
            stat.st_nlink = links;
            assert!(!is_still(&stat, 200), "{links}");
        }
    }
}
