//! The two deadlines of a run, as descriptors in the poll loop.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timer::TimerSetTimeFlags;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags};

/// A timer that reports once, by a readable descriptor (timerfd_create(2), CLOCK_MONOTONIC).
#[derive(Debug)]
pub(super) struct Timer(TimerFd);

impl Timer {
    /// Makes a timer that is not armed.
    pub(super) fn new() -> nix::Result<Self> {
        TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
        )
        .map(Self)
    }

    /// Arms it to report after this time, or disarms it. What it had to report before is forgotten.
    pub(super) fn set(&self, after: Option<Duration>) -> nix::Result<()> {
        match after {
            // Zero would disarm it.
            Some(after) => {
                let after = TimeSpec::from(after.max(Duration::from_nanos(1)));
                self.0
                    .set(Expiration::OneShot(after), TimerSetTimeFlags::empty())
            }
            None => self.0.unset(),
        }
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Looks at a running CPU clock no more often than this, however little of the budget is left: the
/// kernel brings cpu.stat up to date at its own ticks anyway.
const SHORTEST_LOOK: Duration = Duration::from_micros(500);

/// When to look at the CPU time next: not before `parallel` CPUs, all busy, can have used up what is left.
pub(super) fn next_look(used: Duration, limit: Duration, parallel: u32) -> Duration {
    (limit.saturating_sub(used) / parallel.max(1)).max(SHORTEST_LOOK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_look_is_at_the_earliest_moment_of_exhaustion() {
        let ms = Duration::from_millis;
        assert_eq!(next_look(ms(0), ms(1000), 1), ms(1000));
        assert_eq!(next_look(ms(200), ms(1000), 4), ms(200));
        assert_eq!(next_look(ms(1000), ms(1000), 4), SHORTEST_LOOK);
        assert_eq!(next_look(ms(2000), ms(1000), 0), SHORTEST_LOOK);
    }
}
