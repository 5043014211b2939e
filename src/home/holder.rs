//! A process that keeps a scope for the next run of a box, as that run sees it. systemd makes no
//! scope without a process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::box_dir::Kept;
use crate::cgroup::{INIT, hierarchy};
use crate::sys::poll::{self, Until, readable};
use crate::sys::process;
use crate::systemd::{ScopeSpec, slice_path};

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

    /// How the box notes it.
    pub(super) fn kept(&self) -> Kept {
        self.kept
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
        process::send_signal(self.pidfd(), libc::SIGTERM).ok();
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

/// What a process keeps that is in this cgroup. Pure.
fn what_is_kept(mut path: PathBuf, spec: &ScopeSpec) -> Keeps {
    let is_of_box = |path: &Path| {
        let unit = path.file_name().and_then(|unit| unit.to_str());
        unit.is_some_and(|unit| unit.starts_with(&format!("isolate-{}-", spec.box_id)))
    };
    if is_of_box(&path) {
        if !spec.controllers.is_empty() {
            // systemd has moved it, but the cgroups below are not there yet.
            return Keeps::Nothing;
        }
    } else if !path.ends_with(INIT) || !path.pop() || !is_of_box(&path) {
        return Keeps::Nothing;
    }
    if path.parent() == Some(&slice_path(&spec.slice)) {
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
            uid: 1,
            slice: "isolate-u1.slice".to_owned(),
            mount_point: "/cg".into(),
            controllers: vec!["memory".to_owned()],
            runtime_max: None,
            outlasts_runs: false,
        };
        let kept = |path: &str, spec: &ScopeSpec| what_is_kept(path.into(), spec);
        let scope = "isolate.slice/isolate-u1.slice/isolate-7-0a.scope";
        let there = || Keeps::Scope(Path::new("/cg").join(scope));
        assert_eq!(kept(&format!("{scope}/init"), &spec), there());
        assert_eq!(kept(scope, &spec), Keeps::Nothing);
        for elsewhere in [
            "",
            "init",
            "user.slice/x.scope",
            "isolate.slice/isolate-71-0a.scope/init",
        ] {
            assert_eq!(kept(elsewhere, &spec), Keeps::Nothing, "{elsewhere}");
        }
        let of_another = "isolate.slice/isolate-7-0a.scope/init";
        assert_eq!(kept(of_another, &spec), Keeps::Another);
        spec.controllers.clear();
        assert_eq!(kept(scope, &spec), there());
        assert_eq!(kept(&format!("{scope}/init"), &spec), there());
    }
}
