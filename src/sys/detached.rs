//! What a process that stays behind has to drop of the one that it was cloned from.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use log::LevelFilter;
use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;

use super::descriptors::put_on_streams;
use super::{credentials, process, signals};

/// Drops everything that was the maker's, except for the connection to it. Returns a descriptor
/// that is readable when the process is told something by one of these signals.
pub(crate) fn detach(
    name: &CStr,
    orders: &[Signal],
    maker: BorrowedFd<'_>,
) -> io::Result<SignalFd> {
    // Log lines would go to the user of the maker.
    log::set_max_level(LevelFilter::Off);
    prctl::set_name(name)?;
    signals::reset_signal_dispositions();
    let orders: SigSet = orders.iter().copied().collect();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&orders), None)?;
    let orders = SignalFd::with_flags(&orders, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    nix::unistd::setsid()?;
    nix::unistd::chdir("/")?;
    credentials::leave_session_keyring()?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    put_on_streams(null.as_fd())?;
    process::forget_words()?;
    // This closes the lock of the box as well.
    let kept = [orders.as_fd().as_raw_fd(), null.as_raw_fd()];
    process::close_all_but(&kept, maker)?;
    Ok(orders)
}
