//! The user namespace of a user's commands: made by a process that stays in it, mapped from
//! outside, entered by every command. All commands share one, since a process sees and may end only
//! what is in its own namespace or one below; and it takes longer to make than a short run.
//!
//! Two files in the directory of locks: `namespace` says which process stays, and every command
//! holds a shared lock of it; with `namespace.new` locked, one is made. The process that stays ends
//! when it gets the whole of the first lock some seconds after the last command.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;

use super::error::RootlessError;
use crate::error::printable;
use crate::sys::descriptors::put_on_streams;
use crate::sys::file::{IfLocked, lock_exclusively, lock_shared, lockers, unlock};
use crate::sys::process::{Cloned, clone, close_all_but, exit_now, forget_words, start_time};
use crate::sys::{signals, socket};

/// The name of the process that stays.
const NAME: &CStr = c"isolate-userns";

/// How long it stays after the last command.
const STAY: Duration = Duration::from_secs(5);

/// A program that writes the map of ids of another process, where /etc lets its user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool(pub(super) &'static str);

/// What is mapped, and by whom: users and groups.
pub(super) type Maps = [(Tool, [String; 6]); 2];

/// Moves this process into the namespace of the user's commands, which is made if there is none,
/// and into a copy of its mounts that belongs to it. The process must have one thread.
pub(super) fn enter(locks: &Path, maps: Maps) -> Result<(), RootlessError> {
    let lock = open(&locks.join("namespace"))?;
    lock_shared(lock.as_fd()).map_err(RootlessError::Lock)?;
    let namespace = match standing(&lock) {
        Some(namespace) => namespace,
        None => {
            let making = open(&locks.join("namespace.new"))?;
            lock_exclusively(making.as_fd(), IfLocked::Wait).map_err(RootlessError::Lock)?;
            // Somebody else may have been faster.
            let found = standing(&lock).or_else(|| of_a_command(&lock, &maps[0].1));
            found.map_or_else(|| make(&lock, maps), Ok)?
        }
    };
    // It is this command's until it ends.
    std::mem::forget(lock);
    setns(namespace, CloneFlags::CLONE_NEWUSER)
        .and_then(|()| unshare(CloneFlags::CLONE_NEWNS))
        .map_err(|errno| RootlessError::Enter(errno.into()))
}

fn open(path: &Path) -> Result<File, RootlessError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let opened = options.mode(0o600).custom_flags(flags.bits()).open(path);
    opened.map_err(|error| RootlessError::Place(path.to_owned(), error))
}

/// The namespace of the process that stays, if there is one.
fn standing(lock: &File) -> Option<File> {
    let mut text = String::new();
    let mut reader = lock.try_clone().ok()?.take(100);
    io::Seek::rewind(reader.get_mut()).ok()?;
    reader.read_to_string(&mut text).ok()?;
    let (pid, start) = text.trim_end().split_once(' ')?;
    let (pid, start): (i32, u64) = (pid.parse().ok()?, start.parse().ok()?);
    let namespace = File::open(format!("/proc/{pid}/ns/user")).ok()?;
    // After it was opened: it is that one's and no other's.
    (start_time(pid).ok()? == start).then_some(namespace)
}

/// The namespace of a command that goes on though the process that stays is gone: it was killed, or
/// was in a service that has ended. In another one that command could be neither seen nor ended.
fn of_a_command(lock: &File, map: &[String]) -> Option<File> {
    let list = fs::read_to_string("/proc/locks").ok()?;
    let inode = lock.metadata().ok()?.ino();
    lockers(&list, inode).find_map(|pid| {
        let namespace = File::open(format!("/proc/{pid}/ns/user")).ok()?;
        // The number may be another process's by now; and the user's ids may be others.
        let mapped = fs::read_to_string(format!("/proc/{pid}/uid_map")).ok()?;
        mapped
            .split_whitespace()
            .eq(map.iter().map(String::as_str))
            .then_some(namespace)
    })
}

/// Makes a namespace, whose process is noted in the file that is locked.
fn make(lock: &File, maps: Maps) -> Result<File, RootlessError> {
    signals::wait_for_children();
    let (ours, theirs) = socket::pair().map_err(RootlessError::Clone)?;
    match clone(libc::CLONE_NEWUSER, None).map_err(RootlessError::Clone)? {
        Cloned::Child => {
            drop(ours);
            stay(lock, &theirs).ok();
            exit_now(0)
        }
        Cloned::Parent { pid, .. } => {
            drop(theirs);
            // It ends when this process fails: `ours` is closed then.
            write_maps(pid, maps)?;
            let namespace = File::open(format!("/proc/{pid}/ns/user"));
            let namespace = namespace.map_err(RootlessError::Enter)?;
            let note = || {
                // It has let go of all that it has from here.
                socket::receive_alone(ours.as_fd(), &mut [0])?;
                let text = format!("{pid} {}\n", start_time(pid)?);
                lock.write_all_at(text.as_bytes(), 0)?;
                lock.set_len(text.len() as u64)?;
                socket::send(ours.as_fd(), &[0], None)
            };
            note().map_err(RootlessError::Stay)?;
            Ok(namespace)
        }
    }
}

/// What the process that stays does. The lock is its own when it opens the file anew: a lock
/// belongs to what was opened, not to a process.
fn stay(lock: &File, maker: &OwnedFd) -> io::Result<()> {
    let lock = File::open(format!("/proc/self/fd/{}", lock.as_raw_fd()))?;
    prctl::set_name(NAME)?;
    signals::reset_signal_dispositions();
    nix::sys::signal::SigSet::empty().thread_set_mask()?;
    nix::unistd::setsid()?;
    nix::unistd::chdir("/")?;
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    put_on_streams(null.as_fd())?;
    forget_words()?;
    drop(null);
    close_all_but(&[lock.as_raw_fd()], maker.as_fd())?;
    socket::send(maker.as_fd(), &[0], None)?;
    // Without a word the maker has failed.
    if socket::receive_alone(maker.as_fd(), &mut [0])? == 0 {
        return Ok(());
    }
    loop {
        lock_exclusively(lock.as_fd(), IfLocked::Wait)?;
        unlock(lock.as_fd())?;
        std::thread::sleep(STAY);
        if lock_exclusively(lock.as_fd(), IfLocked::Refuse).is_ok() {
            return Ok(());
        }
    }
}

/// A program that was started, with what it complains about.
struct Started(&'static str, Child);

/// Has both maps written, at the same time.
fn write_maps(pid: i32, maps: Maps) -> Result<(), RootlessError> {
    let started = maps.map(|(tool, map)| tool.start(pid, &map));
    // Both are waited for, whatever becomes of one.
    let [uids, gids] = started.map(|started| started.and_then(Started::wait));
    uids.and(gids)
}

impl Tool {
    fn start(self, pid: i32, map: &[String]) -> Result<Started, RootlessError> {
        let Self(name) = self;
        Command::new(name)
            .arg(pid.to_string())
            .args(map)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map(|child| Started(name, child))
            .map_err(|error| RootlessError::NoTool(name, error))
    }
}

/// How much of a complaint is read, in bytes.
const LONGEST: u64 = 1000;

impl Started {
    fn wait(self) -> Result<(), RootlessError> {
        let Self(tool, mut child) = self;
        let mut said = String::new();
        let read = child.stderr.take().map_or(Ok(0), |stderr| {
            stderr.take(LONGEST).read_to_string(&mut said)
        });
        let failed = |error: io::Error| RootlessError::NoTool(tool, error);
        let status = child.wait().map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        let said = match read {
            Ok(1..) => printable(said.trim()),
            _ => status.to_string(),
        };
        Err(RootlessError::Refused { tool, said })
    }
}
