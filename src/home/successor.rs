//! The process that stays behind when a command ends, and asks systemd for the scope of the box's
//! next run. It belongs to nobody; the next run knows it as a [holder](super::holder).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::unistd::close;

use super::connect;
use super::holder::{DISMISSAL, Holder, NAME, REST, RETIREMENT};
use super::remnant::Remnant;
use super::resting::{CROWD, Order, Stay, is_spacious, take_order};
use crate::box_dir::{Kept, Lock};
use crate::cgroup::{Subtree, Whereabouts};
use crate::launch::{Ready, become_ordinary};
use crate::sys::credentials;
use crate::sys::descriptors::put_on_streams;
use crate::sys::poll::{self, Until, readable};
use crate::sys::priority;
use crate::sys::process::{self, Cloned};
use crate::sys::signals;
use crate::sys::socket;
use crate::systemd::{Held, ScopeRequest, ScopeSpec};

/// How long the process may take to drop everything that it has from its maker.
const LET_GO_PATIENCE: Duration = Duration::from_secs(5);

/// How long systemd may take to make the scope.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the process waits to be moved after an error, before it ends: systemd may have the
/// request all the same.
const MOVE_PATIENCE: Duration = Duration::from_secs(6);

/// A process that will stay behind. It ends when this is dropped, or when its maker dies.
#[derive(Debug)]
pub(crate) struct Successor {
    kept: Kept,
    socket: OwnedFd,
}

impl Successor {
    /// Clones a process that will keep such a scope for so many seconds. This is for a moment in
    /// which the caller has nothing else to do, so that nobody waits for the clone at the end.
    ///
    /// A failure is only logged: then the next run asks for its scope itself. The calling process
    /// must have one thread, and must have closed all that its user handed over: the user decides
    /// how long closing takes, and nobody counts the new process.
    pub(crate) fn make(spec: &ScopeSpec, seconds: u32, lock: &Lock) -> Option<Self> {
        let made = Self::clone_off(spec, seconds, lock);
        made.inspect_err(|error| log::info!("no scope is made for the next run: {error}"))
            .ok()
    }

    fn clone_off(spec: &ScopeSpec, seconds: u32, lock: &Lock) -> io::Result<Self> {
        let (ours, theirs) = socket::pair()?;
        match process::clone(0, None)? {
            Cloned::Child => {
                // The lock of the box goes first: nothing that follows may hold it up.
                close(lock.fd().as_raw_fd()).ok();
                drop(ours);
                // After an error the next run asks for a scope itself.
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

    /// Notes the process in the box, whose record was just written, and lets it go on by itself.
    pub(crate) fn stay(self, lock: &Lock) {
        self.stay_noted(Some(lock));
    }

    /// Lets the process go on by itself, where the box goes: whoever has one with this number next
    /// looks for it.
    pub(crate) fn stay_without_box(self) {
        self.stay_noted(None);
    }

    fn stay_noted(self, lock: Option<&Lock>) {
        match self.let_go(lock) {
            Ok(()) => log::debug!("the scope of the next run is being made"),
            Err(error) => log::info!("no scope is made for the next run: {error}"),
        }
    }

    fn let_go(self, lock: Option<&Lock>) -> io::Result<()> {
        // The first word says that it has dropped all that somebody may wait for, as the lock of
        // the box.
        let said = [((), readable(self.socket.as_fd()))];
        if poll::first(said, Until::within(LET_GO_PATIENCE))?.is_none() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (length, _) = socket::receive(self.socket.as_fd(), &mut [0])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        lock.map_or(Ok(()), |lock| lock.note(self.kept))?;
        socket::send(self.socket.as_fd(), &[0], None)
    }
}

/// The process that was left behind in a box, if it still is there: its time begins anew.
pub(crate) fn still_kept(lock: &Lock) -> Option<Kept> {
    let holder = Holder::left_behind(lock.kept()?)?;
    holder.rest();
    Some(holder.kept())
}

/// The process that was left behind in a box with this scope, if it was removed a moment ago. The
/// box is locked, so nobody else comes by it.
pub(crate) fn take_on(spec: &ScopeSpec) -> Option<Kept> {
    let crowd = File::open(spec.slice_cgroup().join(CROWD)).ok()?;
    let (holder, _) = is_spacious(&crowd).then(|| Holder::find(spec)).flatten()?;
    holder.rest();
    Some(holder.kept())
}

/// Tells the process that was left behind in a box that this is removed.
pub(crate) fn retire(kept: Kept) {
    if let Some(holder) = Holder::left_behind(kept) {
        holder.retire();
    }
}

/// Ends the process that was left behind in a box whose next run does not come.
pub(crate) fn dismiss(lock: &Lock) {
    lock.kept().into_iter().for_each(dismiss_kept);
}

/// The same, where the box does not note it any more.
pub(crate) fn dismiss_kept(kept: Kept) {
    if let Some(holder) = Holder::left_behind(kept) {
        holder.dismiss();
    }
}

/// What the process does, from its first step to its last.
fn live(spec: &ScopeSpec, seconds: u32, maker: OwnedFd) -> io::Result<()> {
    let orders = let_go(maker.as_fd())?;
    // What follows holds nobody up.
    socket::send(maker.as_fd(), &[0], None)?;
    detach()?;
    let before = Whereabouts::beside(std::process::id())?;
    let (word, _) = socket::receive(maker.as_fd(), &mut [0])?;
    if word == 0 {
        return Ok(());
    }
    drop(maker);
    // After an error systemd may still move this process, and must find it alive.
    let kept = ScopeSpec {
        is_kept: true,
        ..spec.clone()
    };
    let Ok(Some(own)) = have_scope(kept, &orders) else {
        before.wait_for_another(MOVE_PATIENCE);
        return Ok(());
    };
    drop(before);
    take_away_remnants(spec);
    let processes = File::open(own.join("cgroup.procs"))?;
    let crowd = File::open(spec.slice_cgroup().join(CROWD))?;
    let scope = match spec.controllers.is_empty() {
        true => &own,
        false => own.parent().unwrap_or(&own),
    };
    let beside = File::open(scope.join(CROWD))?;
    let pid = nix::unistd::getpid().as_raw();
    let start = process::start_time(pid)?;
    // Without namespaces for the next run, its init makes them.
    let ready = Ready::new(Kept { pid, start }, scope).ok().flatten();
    credentials::drop_bounding_set()?;
    match &ready {
        Some(_) => credentials::keep_only_namespaces()?,
        None => credentials::drop_capabilities()?,
    }
    let files = [&processes, &crowd, &beside];
    let mut kept: Vec<_> = files.into_iter().map(File::as_raw_fd).collect();
    kept.extend(ready.iter().flat_map(Ready::descriptors));
    process::close_all_but(&kept, orders.as_fd())?;
    priority::let_others_first()?;
    let time = Duration::from_secs(seconds.into());
    let stay = Stay {
        processes,
        crowd,
        beside,
        own: u64::from(*scope != own),
    };
    stay.rest(time, &orders, ready)
}

/// Takes away what is left of earlier scopes of the box. What cannot be is there for the next one.
fn take_away_remnants(spec: &ScopeSpec) {
    for remnant in Remnant::find_of_box(spec).into_iter().flatten() {
        remnant.remove().ok();
    }
}

/// Drops everything of the maker's that somebody may wait for, except for the connection to it.
/// Returns a descriptor that is readable when the process is told something.
fn let_go(maker: BorrowedFd<'_>) -> io::Result<SignalFd> {
    // Log lines would go to the user of the maker.
    log::set_max_level(LevelFilter::Off);
    prctl::set_name(NAME)?;
    let orders = SigSet::from_iter([DISMISSAL, REST, RETIREMENT]);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&orders), None)?;
    let orders = SignalFd::with_flags(&orders, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    nix::unistd::setsid()?;
    nix::unistd::chdir("/")?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    put_on_streams(null.as_fd())?;
    // This closes the lock of the box as well.
    let kept = [orders.as_fd().as_raw_fd(), null.as_raw_fd()];
    process::close_all_but(&kept, maker)?;
    Ok(orders)
}

/// Drops what else was the maker's.
fn detach() -> io::Result<()> {
    become_ordinary()?;
    signals::reset_signal_dispositions();
    credentials::leave_session_keyring()?;
    process::forget_words()
}

/// Asks systemd for the scope around this process. Returns the cgroup in it where this process is
/// then, or `None` if the scope is not needed any more.
fn have_scope(spec: ScopeSpec, orders: &SignalFd) -> io::Result<Option<PathBuf>> {
    let pid = nix::unistd::getpid().as_raw();
    let own = process::pidfd_of(pid)?;
    let held = Held {
        pid,
        pidfd: own.as_fd(),
    };
    let controllers = spec.controllers.clone();
    let request = ScopeRequest::start(connect(), spec, held);
    let mut request = request.map_err(io::Error::other)?;
    let mut until = Until::within(PATIENCE);
    let mut is_wanted = true;
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
            (false, readable(orders.as_fd())),
        ];
        match poll::first(sources, until)? {
            Some(true) => {}
            // systemd still moves this process, unless it says that it does not: nobody whose
            // service ends meanwhile waits for longer than that.
            Some(false) if matches!(take_order(orders)?, Some(Order::Retire | Order::End)) => {
                is_wanted = false;
                until = Until::within(MOVE_PATIENCE);
            }
            Some(false) => {}
            None => return Ok(None),
        }
    };
    if !is_wanted {
        return Ok(None);
    }
    let arranged = Subtree::arrange_scope(&scope, &controllers, pid);
    arranged.map(Some).map_err(io::Error::other)
}
