//! A process that keeps a scope for the next run of a box, as that run sees it. systemd makes no
//! scope without a process.

use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::box_dir::Kept;
use crate::cgroup::{INIT, hierarchy};
use crate::launch::Spare;
use crate::sys::poll::{self, Until, readable};
use crate::sys::process;
use crate::systemd::{ScopeSpec, manager_path, slice_path};

/// The name of the process.
pub(super) const NAME: &CStr = c"isolate-holder";

/// Tells it to end.
pub(super) const DISMISSAL: Signal = Signal::SIGTERM;
/// Tells it that its scope was of use: its time begins anew, and it makes namespaces for the next.
pub(super) const REST: Signal = Signal::SIGHUP;

/// Tells it that its box was removed: it ends soon, unless that is made anew meanwhile.
pub(super) const RETIREMENT: Signal = Signal::SIGUSR1;

/// How long a holder may take to end when it was killed.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// The process.
#[derive(Debug)]
pub(crate) struct Holder {
    kept: Kept,
    pidfd: OwnedFd,
}

/// What a holder keeps.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Nothing yet: systemd has not moved it.
    Nothing,
    /// A scope that fits, with this cgroup.
    Scope(PathBuf),
    /// A scope that does not.
    Another,
}

impl Holder {
    /// The process that was left behind in a box, if it still is there.
    pub(super) fn left_behind(kept: Kept) -> Option<Self> {
        let pidfd = process::pidfd_of(kept.pid).ok()?;
        let is_it = process::start_time(kept.pid).ok()? == kept.start;
        let holder = Self { kept, pidfd };
        // If it is alive now, the start time was that of this process.
        (is_it && !holder.has_ended()).then_some(holder)
    }

    /// A process that waits in a scope which fits, and that scope, of a box that notes nobody,
    /// since it is made for one run at a time. The box is locked, so no run goes on in it.
    pub(super) fn find(spec: &ScopeSpec) -> Option<(Self, PathBuf)> {
        let scopes = fs::read_dir(spec.slice_cgroup()).ok()?;
        let scopes = scopes.filter_map(Result::ok);
        let prefix = spec.prefix();
        let of_box = scopes.filter(|entry| is_of_box(&entry.file_name(), &prefix));
        let mut found = of_box.filter_map(|scope| {
            let scope = scope.path();
            Self::resting_in(&scope, spec).map(|holder| (holder, scope))
        });
        let first = found.next();
        // One is enough.
        found.for_each(|(another, _)| another.dismiss());
        first
    }

    fn resting_in(scope: &Path, spec: &ScopeSpec) -> Option<Self> {
        let place = match spec.controllers.is_empty() {
            true => scope.to_owned(),
            false => scope.join(INIT),
        };
        let list = File::open(place.join("cgroup.procs")).ok()?;
        let pid = only_process(&list)?;
        let pidfd = process::pidfd_of(pid).ok()?;
        let (start, name) = process::start_and_name(pid).ok()?;
        let kept = Kept { pid, start };
        let holder = Self { kept, pidfd };
        // If it is alive after the second look, the number was that of this process in both.
        let is_there = name == NAME.to_bytes() && only_process(&list) == Some(pid);
        (is_there && !holder.has_ended()).then_some(holder)
    }

    /// How the box notes it.
    pub(super) fn kept(&self) -> Kept {
        self.kept
    }

    /// The namespaces that it may have for the next run.
    pub(super) fn spare(&self) -> Spare<'_> {
        Spare {
            pidfd: self.pidfd(),
            keeps: self.kept,
        }
    }

    /// Its pidfd, which is readable when it has ended.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        process::has_ended(self.pidfd.as_fd()).unwrap_or(true)
    }

    /// What it keeps: a scope by this spec, another one, or none.
    pub(super) fn keeps(&self, spec: &ScopeSpec) -> Keeps {
        let path = hierarchy::cgroup_of(&self.kept.pid.to_string());
        match path.ok().flatten() {
            Some(path) => what_is_kept(path, spec),
            None => Keeps::Nothing,
        }
    }

    /// Tells it to end. One that systemd is about to move ends after that.
    pub(super) fn dismiss(&self) {
        process::send_signal(self.pidfd(), DISMISSAL as i32).ok();
    }

    /// Its box was removed.
    pub(super) fn retire(&self) {
        process::send_signal(self.pidfd(), RETIREMENT as i32).ok();
    }

    /// Its scope was of use: the time for which it stays begins anew.
    pub(super) fn rest(&self) {
        process::send_signal(self.pidfd(), REST as i32).ok();
    }

    /// There is an init in the scope. A holder ends then, unless the scope is also for the runs
    /// that follow.
    pub(super) fn relieve(self, spec: &ScopeSpec) -> Option<Self> {
        if spec.outlasts_runs {
            return Some(self);
        }
        self.end();
        None
    }

    /// Kills it, and waits for its end. For a holder that is in its scope.
    pub(super) fn end(self) {
        // An error means that it has ended.
        process::send_signal(self.pidfd(), libc::SIGKILL).ok();
        let until = Until::within(END_PATIENCE);
        poll::first([((), readable(self.pidfd()))], until).ok();
    }
}

/// The one process of a cgroup, which lists them in this file.
fn only_process(list: &File) -> Option<i32> {
    let mut text = [0; 32];
    let length = list.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(&text[..length]).ok()?;
    text.strip_suffix('\n')?.parse().ok()
}

/// Whether a unit is a scope of the box whose scopes' names begin so.
fn is_of_box(unit: &OsStr, prefix: &str) -> bool {
    unit.as_bytes().starts_with(prefix.as_bytes())
}

/// What a process keeps that is in this cgroup. Pure.
fn what_is_kept(mut path: PathBuf, spec: &ScopeSpec) -> Keeps {
    let prefix = spec.prefix();
    let is_of_box = |path: &Path| {
        let unit = path.file_name();
        unit.is_some_and(|unit| is_of_box(unit, &prefix))
    };
    if is_of_box(&path) {
        if !spec.controllers.is_empty() {
            // systemd has moved it, but the cgroups below are not there yet.
            return Keeps::Nothing;
        }
    } else if !path.ends_with(INIT) || !path.pop() || !is_of_box(&path) {
        return Keeps::Nothing;
    }
    if path.parent() == Some(&manager_path().join(slice_path(&spec.slice))) {
        Keeps::Scope(spec.mount_point.join(path))
    } else {
        Keeps::Another
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::BoxId;

    #[test]
    fn a_scope_of_this_box_in_this_slice_fits_as_soon_as_it_is_arranged() {
        let mut spec = ScopeSpec {
            box_id: BoxId(7),
            locks: 0xab,
            uid: 1,
            slice: "isolate-u1.slice".to_owned(),
            mount_point: "/cg".into(),
            controllers: vec!["memory".to_owned()],
            runtime_max: None,
            outlasts_runs: false,
            is_kept: false,
        };
        let kept = |path: &str, spec: &ScopeSpec| what_is_kept(path.into(), spec);
        let scope = "isolate.slice/isolate-u1.slice/isolate-7-000000ab01.scope";
        let there = || Keeps::Scope(Path::new("/cg").join(scope));
        assert_eq!(kept(&format!("{scope}/init"), &spec), there());
        assert_eq!(kept(scope, &spec), Keeps::Nothing);
        for elsewhere in [
            "",
            "init",
            "user.slice/x.scope",
            "isolate.slice/isolate-u1.slice/isolate-71-000000ab01.scope/init",
            // Of a box with this number and other locks.
            "isolate.slice/isolate-u1.slice/isolate-7-000000ac01.scope/init",
        ] {
            assert_eq!(kept(elsewhere, &spec), Keeps::Nothing, "{elsewhere}");
        }
        let of_another = "isolate.slice/isolate-7-000000ab01.scope/init";
        assert_eq!(kept(of_another, &spec), Keeps::Another);
        spec.controllers.clear();
        assert_eq!(kept(scope, &spec), there());
        assert_eq!(kept(&format!("{scope}/init"), &spec), there());
    }
}
