//! A timer as a descriptor for the poll loop.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timer::TimerSetTimeFlags;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags};

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

    /// Arms it to report after this time, or disarms it. What it had to report before is forgotten.
    pub(crate) fn set(&self, after: Option<Duration>) -> nix::Result<()> {
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
