//! The scope of a box's next run, which waits for it with a [holder](super::holder) that belongs to
//! nobody: whoever ran before has gone.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;

use super::connect;
use super::holder::{Holder, MOVE_PATIENCE, NAME};
use crate::box_dir::{Kept, Lock};
use crate::cgroup::{INIT, Subtree, Whereabouts, hierarchy};
use crate::launch::become_ordinary;
use crate::sys::credentials;
use crate::sys::poll::{self, Until, readable};
use crate::sys::process::{self, Cloned};
use crate::sys::socket;
use crate::systemd::{Held, ScopeRequest, ScopeSpec, slice_path};

/// How long systemd may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Leaves a process behind that asks systemd for such a scope and keeps it for so long. It is noted
/// in the box, whose record was just written. Nobody waits for systemd, and a scope that does not
/// come to be is missed by nobody. The calling process must have one thread only.
pub(crate) fn leave_ready(spec: &ScopeSpec, seconds: u32, lock: &Lock) {
    let left = leave(spec, seconds).and_then(|kept| lock.note(kept));
    match left {
        Ok(()) => log::debug!("the scope of the next run is being made"),
        Err(error) => log::info!("no scope is made for the next run: {error}"),
    }
}

fn leave(spec: &ScopeSpec, seconds: u32) -> io::Result<Kept> {
    let (ours, theirs) = socket::pair()?;
    let parent = std::process::id();
    match process::clone(0, None)? {
        Cloned::Child => {
            // Whatever does not work: the next run has a scope made itself.
            live(spec, seconds, parent).ok();
            process::exit_now(0)
        }
        Cloned::Parent { pid, .. } => {
            drop(theirs);
            // Until it has let go of everything, with that of the lock of the box.
            socket::receive_alone(ours.as_fd(), &mut [0])?;
            let start = process::start_time(pid)?;
            Ok(Kept { pid, start })
        }
    }
}

impl Holder {
    /// The process that was left behind, if it still is there.
    pub(super) fn left_behind(kept: Kept) -> Option<Self> {
        let pidfd = process::pidfd_of(kept.pid).ok()?;
        let is_it = process::start_time(kept.pid).ok()? == kept.start;
        let holder = Self::of(kept.pid, pidfd);
        // The number was its own when the time was read.
        (is_it && !holder.has_ended()).then_some(holder)
    }

    /// The cgroup of the scope that it keeps, if that is there and such a one.
    pub(super) fn keeps(&self, spec: &ScopeSpec) -> Option<PathBuf> {
        let mut path = hierarchy::cgroup_of(&self.pid().to_string()).ok()??;
        if !spec.controllers.is_empty() && (!path.ends_with(INIT) || !path.pop()) {
            return None;
        }
        let unit = path.file_name()?.to_str()?;
        let is_of_box = unit.starts_with(&format!("isolate-{}-", spec.box_id));
        let is_there = path.parent()? == slice_path(&spec.slice);
        (is_of_box && is_there).then(|| spec.mount_point.join(path))
    }

    /// Has it end as soon as it was moved.
    pub(super) fn dismiss(&self) {
        process::send_signal(self.pidfd(), libc::SIGTERM).ok();
    }
}

/// Ends what was left behind for a run that does not come.
pub(crate) fn dismiss(lock: &Lock) {
    if let Some(holder) = lock.kept().and_then(Holder::left_behind) {
        holder.dismiss();
    }
}

/// The life of the process that is left behind.
fn live(spec: &ScopeSpec, seconds: u32, parent: u32) -> io::Result<()> {
    let dismissal = detach()?;
    become_ordinary()?;
    let before = Whereabouts::beside(parent)?;
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

/// Lets go of all that was the parent's; what is returned is readable when the process is to end.
fn detach() -> io::Result<SignalFd> {
    // What is logged goes to somebody else.
    log::set_max_level(LevelFilter::Off);
    prctl::set_name(NAME)?;
    process::reset_signal_dispositions();
    let dismissal = SigSet::from(Signal::SIGTERM);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&dismissal), None)?;
    let dismissal = SignalFd::with_flags(&dismissal, SfdFlags::SFD_CLOEXEC)?;
    nix::unistd::setsid()?;
    nix::unistd::chdir("/")?;
    credentials::leave_session_keyring()?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    process::forget_words()?;
    // The lock and the socket of the parent, which goes on with that, are among them.
    process::close_all_but(&[dismissal.as_fd().as_raw_fd()], null.as_fd())?;
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
