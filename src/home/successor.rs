//! Who stays behind when a command ends, and has the scope of the box's next run made: a process
//! that belongs to nobody. The next run knows it as a [holder](super::holder).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use log::LevelFilter;
use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::unistd::close;

use super::connect;
use super::holder::Holder;
use crate::box_dir::{Kept, Lock};
use crate::cgroup::{Subtree, Whereabouts};
use crate::launch::become_ordinary;
use crate::sys::credentials;
use crate::sys::descriptors::put_on_streams;
use crate::sys::poll::{self, Until, readable};
use crate::sys::process::{self, Cloned};
use crate::sys::signals;
use crate::sys::socket;
use crate::systemd::{Held, ScopeRequest, ScopeSpec};

/// Its name in a list of processes.
const NAME: &CStr = c"isolate-holder";

/// How long it may take to let go of what its maker has.
const LET_GO_PATIENCE: Duration = Duration::from_secs(5);

/// How long systemd may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it waits to be moved before it ends, when something went wrong: the request may not
/// have been sent, or was refused.
const MOVE_PATIENCE: Duration = Duration::from_secs(6);

/// A process that will stay behind. When this is dropped, or its maker dies, it ends.
#[derive(Debug)]
pub(crate) struct Successor {
    kept: Kept,
    socket: OwnedFd,
}

impl Successor {
    /// Makes one, which keeps such a scope for so many seconds. It is made while there is nothing
    /// else to do, since nobody should have to wait for a clone at the end. The calling process
    /// must have one thread only.
    ///
    /// A scope that does not come to be is missed by nobody, and neither is who would make it.
    ///
    /// Nothing that the caller has handed over may be open any more: they decide how long it takes
    /// to close that, and nobody would count this process.
    pub(crate) fn make(spec: &ScopeSpec, seconds: u32, lock: &Lock) -> Option<Self> {
        let made = Self::clone_off(spec, seconds, lock);
        made.inspect_err(|error| log::info!("no scope is made for the next run: {error}"))
            .ok()
    }

    fn clone_off(spec: &ScopeSpec, seconds: u32, lock: &Lock) -> io::Result<Self> {
        let (ours, theirs) = socket::pair()?;
        match process::clone(0, None)? {
            Cloned::Child => {
                // First the lock of the box: nothing that comes may keep it.
                close(lock.fd().as_raw_fd()).ok();
                drop(ours);
                // Whatever does not work: the next run has a scope made itself.
                live(spec, seconds, theirs).ok();
                process::exit_now(0)
            }
            Cloned::Parent { pid, .. } => {
                let start = process::start_time(pid)?;
                Ok(Self {
                    kept: Kept { pid, start },
                    socket: ours,
                })
            }
        }
    }

    /// Lets it go on by itself, and notes it in the box, whose record was just written.
    pub(crate) fn stay(self, lock: &Lock) {
        match self.let_go(lock) {
            Ok(()) => log::debug!("the scope of the next run is being made"),
            Err(error) => log::info!("no scope is made for the next run: {error}"),
        }
    }

    fn let_go(self, lock: &Lock) -> io::Result<()> {
        // It has let go of everything, the lock of the box among it.
        let said = [((), readable(self.socket.as_fd()))];
        if poll::first(said, Until::within(LET_GO_PATIENCE))?.is_none() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (length, _) = socket::receive(self.socket.as_fd(), &mut [0])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        lock.note(self.kept)?;
        socket::send(self.socket.as_fd(), &[0], None)
    }
}

/// Ends who was left behind for a run that does not come.
pub(crate) fn dismiss(lock: &Lock) {
    if let Some(holder) = lock.kept().and_then(Holder::left_behind) {
        holder.dismiss();
    }
}

/// The life of the process.
fn live(spec: &ScopeSpec, seconds: u32, maker: OwnedFd) -> io::Result<()> {
    let dismissal = detach(maker.as_fd())?;
    become_ordinary()?;
    let before = Whereabouts::beside(std::process::id())?;
    socket::send(maker.as_fd(), &[0], None)?;
    let (word, _) = socket::receive(maker.as_fd(), &mut [0])?;
    if word == 0 {
        return Ok(());
    }
    drop(maker);
    // After an error too: systemd may do what it was asked all the same.
    if !have_scope(spec, &dismissal).unwrap_or(false) {
        before.wait_for_another(MOVE_PATIENCE);
        return Ok(());
    }
    drop(before);
    credentials::drop_bounding_set()?;
    credentials::drop_capabilities()?;
    process::close_all_but(&[], dismissal.as_fd())?;
    poll::first(
        [((), readable(dismissal.as_fd()))],
        Until::within(Duration::from_secs(seconds.into())),
    )?;
    Ok(())
}

/// Lets go of all that was the maker's but the way to hear from it; what is returned is readable
/// when the process is to end.
fn detach(maker: BorrowedFd<'_>) -> io::Result<SignalFd> {
    // What is logged goes to somebody else.
    log::set_max_level(LevelFilter::Off);
    prctl::set_name(NAME)?;
    signals::reset_signal_dispositions();
    let dismissal = SigSet::from(Signal::SIGTERM);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&dismissal), None)?;
    let dismissal = SignalFd::with_flags(&dismissal, SfdFlags::SFD_CLOEXEC)?;
    nix::unistd::setsid()?;
    nix::unistd::chdir("/")?;
    credentials::leave_session_keyring()?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    put_on_streams(null.as_fd())?;
    process::forget_words()?;
    // The lock of the box is among them.
    let kept = [dismissal.as_fd().as_raw_fd(), null.as_raw_fd()];
    process::close_all_but(&kept, maker)?;
    Ok(dismissal)
}

/// Has systemd make the scope around this process: whether it is there, and needed.
fn have_scope(spec: &ScopeSpec, dismissal: &SignalFd) -> io::Result<bool> {
    let pid = nix::unistd::getpid().as_raw();
    let own = process::pidfd_of(pid)?;
    let held = Held {
        pid,
        pidfd: own.as_fd(),
    };
    let request = ScopeRequest::start(connect(), spec.clone(), held);
    let mut request = request.map_err(io::Error::other)?;
    let until = Until::within(PATIENCE);
    let scope = loop {
        if let Some(scope) = request.proceed().map_err(io::Error::other)? {
            break scope;
        }
        if request.has_mail() {
            continue;
        }
        let mut ready = request.ready();
        let sources = [
            (true, readable(ready.next())),
            (true, readable(ready.next())),
            (false, readable(dismissal.as_fd())),
        ];
        if poll::first(sources, until)? != Some(true) {
            return Ok(false);
        }
    };
    let arranged = Subtree::arrange_scope(&scope, &spec.controllers, pid);
    arranged.map_err(io::Error::other)?;
    Ok(true)
}
