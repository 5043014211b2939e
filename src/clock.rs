//! Monotonic time: moments, and timers as descriptors for the poll loop. Also the time of day, as
//! programs are told it.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timer::TimerSetTimeFlags;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags};
use nix::time::clock_gettime;
use serde::{Deserialize, Serialize};

use crate::sys::poll::{self, readable};

/// A moment of CLOCK_MONOTONIC, to the nanosecond. It is the same for every process; the standard
/// library's moment cannot be sent to another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Moment(Duration);

impl Moment {
    /// This moment.
    pub(crate) fn now() -> nix::Result<Self> {
        Ok(Self(
            clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?.into(),
        ))
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment that is this much later.
    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    /// The moment as a number that another process understands.
    pub(crate) fn to_nanoseconds(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The moment with this number.
    pub(crate) fn from_nanoseconds(number: u64) -> Self {
        Self(Duration::from_nanos(number))
    }
}

/// A timer that reports once, by a readable descriptor (timerfd_create(2), CLOCK_MONOTONIC).
#[derive(Debug)]
pub(crate) struct Timer(TimerFd);

impl Timer {
    /// Makes a timer that is not armed.
    pub(crate) fn new() -> nix::Result<Self> {
        TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
        )
        .map(Self)
    }

    /// Arms the timer to report at this moment, or at once when the moment has passed. Any report
    /// before that is forgotten.
    pub(crate) fn set_at(&self, moment: Moment) -> nix::Result<()> {
        // Zero would disarm it, and the kernel's seconds are signed.
        let bounds = (Duration::from_nanos(1), Duration::from_secs(1 << 40));
        let at = TimeSpec::from(moment.0.clamp(bounds.0, bounds.1));
        self.0.set(
            Expiration::OneShot(at),
            TimerSetTimeFlags::TFD_TIMER_ABSTIME,
        )
    }

    /// Arms the timer to report after this time from now.
    pub(crate) fn set_after(&self, time: Duration) -> nix::Result<()> {
        self.set_at(Moment::now()?.after(time))
    }

    /// Whether it has reported.
    pub(crate) fn has_reported(&self) -> nix::Result<bool> {
        let reported = poll::is_so(readable(self.as_fd()));
        reported.map_err(|error| Errno::try_from(error).unwrap_or(Errno::EIO))
    }

    /// Disarms the timer. Any report before that is forgotten.
    pub(crate) fn unset(&self) -> nix::Result<()> {
        self.0.unset()
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Microseconds since 1970.
pub(crate) fn since_epoch(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports_within(timer: &Timer, milliseconds: u64) -> bool {
        let until = poll::Until::within(Duration::from_millis(milliseconds));
        let reported = poll::first([((), readable(timer.as_fd()))], until);
        reported.unwrap().is_some()
    }

    #[test]
    fn a_timer_reports_a_moment_that_has_passed_at_once_and_not_before_it_comes() {
        let timer = Timer::new().unwrap();
        assert!(!reports_within(&timer, 0));
        timer.set_at(Moment::default()).unwrap();
        assert!(reports_within(&timer, 10_000));
        let begin = Moment::now().unwrap();
        timer.set_after(Duration::from_millis(20)).unwrap();
        assert!(reports_within(&timer, 10_000));
        assert!(Moment::now().unwrap().since(begin) >= Duration::from_millis(20));
        timer.unset().unwrap();
        assert!(!reports_within(&timer, 0));
    }

    #[test]
    fn a_moment_survives_as_a_number() {
        let now = Moment::now().unwrap();
        assert_eq!(Moment::from_nanoseconds(now.to_nanoseconds()), now);
    }

    #[test]
    fn no_time_has_passed_since_a_later_moment() {
        let now = Moment::now().unwrap();
        assert_eq!(now.since(now.after(Duration::from_secs(1))), Duration::ZERO);
    }
}
