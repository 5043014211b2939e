//! Waiting for descriptors, with ppoll(2): every loop of this program waits here.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use libc::{c_short, nfds_t, pollfd, timespec};

/// When a wait ends although nothing has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// At once: only a look.
    Now,
    /// At this moment.
    At(Instant),
    /// Never.
    Forever,
}

impl Until {
    /// After this time from now; never for a time beyond what the clock can tell.
    pub(crate) fn within(time: Duration) -> Self {
        Instant::now()
            .checked_add(time)
            .map_or(Self::Forever, Self::At)
    }

    /// What is left of the wait; `None` if it has no end.
    fn left(self) -> Option<Duration> {
        match self {
            Self::Now => Some(Duration::ZERO),
            Self::At(end) => Some(end.saturating_duration_since(Instant::now())),
            Self::Forever => None,
        }
    }
}

/// What is awaited on one descriptor. An error or the end of the other side counts as well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Awaited<'a> {
    fd: Option<BorrowedFd<'a>>,
    events: c_short,
}

impl<'a> Awaited<'a> {
    fn to_raw(self) -> pollfd {
        pollfd {
            // The kernel ignores negative numbers.
            fd: self.fd.map_or(-1, |fd| fd.as_raw_fd()),
            events: self.events,
            revents: 0,
        }
    }
}

/// Something to read, or the end. A descriptor that is `None` is never ready.
pub(crate) fn readable<'a>(fd: impl Into<Option<BorrowedFd<'a>>>) -> Awaited<'a> {
    Awaited {
        fd: fd.into(),
        events: libc::POLLIN,
    }
}

/// Room to write. A descriptor that is `None` is never ready.
pub(crate) fn writable<'a>(fd: impl Into<Option<BorrowedFd<'a>>>) -> Awaited<'a> {
    Awaited {
        fd: fd.into(),
        events: libc::POLLOUT,
    }
}

/// The end of the other side, and nothing else. A descriptor that is `None` is never ready.
pub(crate) fn closed<'a>(fd: impl Into<Option<BorrowedFd<'a>>>) -> Awaited<'a> {
    Awaited {
        fd: fd.into(),
        events: 0,
    }
}

/// Waits until one of the sources is ready, and returns the first of those that are, in their
/// order; `None` when the time is over. Allocates nothing.
pub(crate) fn first<S: Copy, const N: usize>(
    sources: [(S, Awaited<'_>); N],
    until: Until,
) -> io::Result<Option<S>> {
    let mut polled = sources.map(|(_, awaited)| awaited.to_raw());
    wait(&mut polled, until)?;
    let ready = polled.iter().position(|polled| polled.revents != 0);
    Ok(ready.map(|at| sources[at].0))
}

/// Waits until one of any number of descriptors is ready, and says of each whether it is. When the
/// time is over, none of them is.
pub(crate) fn each<'a>(
    awaited: impl IntoIterator<Item = Awaited<'a>>,
    until: Until,
) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = awaited.into_iter().map(Awaited::to_raw).collect();
    wait(&mut polled, until)?;
    Ok(polled.iter().map(|polled| polled.revents != 0).collect())
}

/// Whether this is so now, without waiting.
pub(crate) fn is_so(awaited: Awaited<'_>) -> io::Result<bool> {
    Ok(first([((), awaited)], Until::Now)?.is_some())
}

/// Waits, and after a signal goes on with what is left of the time.
fn wait(polled: &mut [pollfd], until: Until) -> io::Result<()> {
    loop {
        let left = until.left().map(|left| timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let left = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the kernel reads and writes `polled.len()` elements of an array that is borrowed
        // mutably, and reads the time; no signal mask is passed.
        let result = unsafe {
            libc::ppoll(
                polled.as_mut_ptr(),
                polled.len() as nfds_t,
                left,
                std::ptr::null(),
            )
        };
        match super::check(result.into()) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_first_source_that_is_ready_is_told_whatever_else_is() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (_quiet, silent) = UnixStream::pair().unwrap();
        let wait = |until| {
            let sources = [
                ("absent", readable(None)),
                ("silent", readable(silent.as_fd())),
                ("readable", readable(theirs.as_fd())),
                ("writable", writable(silent.as_fd())),
            ];
            first(sources, until).unwrap()
        };
        assert_eq!(wait(Until::Forever), Some("writable"));
        ours.write_all(b"x").unwrap();
        assert_eq!(wait(Until::Now), Some("readable"));
    }

    #[test]
    fn a_wait_without_event_ends_in_time() {
        let begin = Instant::now();
        let sources = [((), readable(None))];
        let until = Until::within(Duration::from_millis(20));
        assert_eq!(first(sources, until).unwrap(), None);
        assert!(begin.elapsed() >= Duration::from_millis(20));
        assert_eq!(first(sources, Until::Now).unwrap(), None);
        assert_eq!(Until::within(Duration::MAX), Until::Forever);
    }

    #[test]
    fn the_end_of_the_other_side_is_told_without_what_it_had_sent() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"x").unwrap();
        assert!(!is_so(closed(theirs.as_fd())).unwrap());
        drop(ours);
        assert!(is_so(closed(theirs.as_fd())).unwrap());
        let each = each([readable(None), closed(theirs.as_fd())], Until::Forever);
        assert_eq!(each.unwrap(), [false, true]);
    }
}
