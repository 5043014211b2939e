//! The cgroups of one run: `TOP/init` with init, and `TOP/box` (the leaf) with the program.
//!
//! TOP is the cgroup of the systemd scope, or a directory that we make in a delegated cgroup.
//! Processes are only in its children, so that controllers can be enabled in it. Where no
//! controller is needed, init stays in the TOP of a scope.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Cgroup, CgroupError, Leaf, LeafLimits, delegated};
use crate::quantity::BoxId;
use crate::remedy::Remedy;
use crate::way;

/// The name of init's cgroup below the run's.
pub(crate) const INIT: &str = "init";

/// How long a killed left-over may take to disappear.
const STALE_PATIENCE: Duration = Duration::from_secs(5);

/// The cgroups of one run.
#[derive(Debug)]
pub(crate) struct Subtree {
    path: PathBuf,
    init: Cgroup,
    leaf: Leaf,
    /// What we made ourselves and must remove.
    made: Option<Made>,
}

/// The cgroup of a run that we made below a delegated one.
#[derive(Debug)]
struct Made {
    root: Cgroup,
    name: String,
    top: Cgroup,
}

impl Made {
    fn create(root: Cgroup, name: String) -> Result<Self, CgroupError> {
        let top = root.create(&name)?;
        Ok(Self { root, name, top })
    }

    fn remove(self) -> Result<(), CgroupError> {
        remove_all(&self.root, &self.name, &self.top)
    }
}

impl Subtree {
    /// Sets up the cgroup of a scope. `residents` are the processes that have to be where init is,
    /// and init itself, unless it is cloned later.
    pub(crate) fn in_scope(
        scope: &Path,
        limits: &LeafLimits,
        residents: &[i32],
    ) -> Result<Self, CgroupError> {
        let top = Cgroup::open(scope)?;
        let needed = available(&top, limits)?;
        let init = if needed.is_empty() {
            // Without controllers init may be where systemd puts processes, beside the leaf.
            None
        } else {
            Some(top.child_or_create(INIT)?)
        };
        settle(init.as_ref().unwrap_or(&top), residents)?;
        if init.is_some() {
            top.enable(&needed)?;
        }
        let leaf = Leaf::create(&top, limits)?;
        Ok(Self {
            path: scope.to_owned(),
            init: init.unwrap_or(top),
            leaf,
            made: None,
        })
    }

    /// Does the part of [`Self::in_scope`] that needs no knowledge of the run. The scope has these
    /// controllers, and this is its only process. Returns where that is then.
    pub(crate) fn arrange_scope(
        scope: &Path,
        controllers: &[String],
        process: i32,
    ) -> Result<PathBuf, CgroupError> {
        if controllers.is_empty() {
            return Ok(scope.to_owned());
        }
        let top = Cgroup::open(scope)?;
        let present = top.controllers()?;
        let init = top.create(INIT)?;
        init.adopt(process)?;
        let to_enable = controllers.iter().filter(|name| present.contains(name));
        top.enable(&to_enable.map(String::as_str).collect::<Vec<_>>())?;
        Ok(init.path)
    }

    /// Makes the cgroups of a run below a delegated cgroup; init is cloned straight into its own.
    /// Kills and removes what an earlier run in this box left there because its keeper was killed.
    pub(crate) fn delegated(
        root: &Path,
        id: BoxId,
        limits: &LeafLimits,
    ) -> Result<Self, CgroupError> {
        let root = Cgroup::open(root)?;
        let name = name_of(id);
        remove_stale(&root, &name)?;
        let needed: Vec<_> = available(&root, limits)?;
        delegated::enable(&root, &needed)?;
        let made = Made::create(root, name)?;
        let cgroups = made
            .top
            .create(INIT)
            .and_then(|init| Ok((init, make_leaf(&made.top, limits)?)));
        match cgroups {
            Ok((init, leaf)) => Ok(Self {
                path: made.top.path().to_owned(),
                init,
                leaf,
                made: Some(made),
            }),
            Err(error) => {
                // The first error is the one to report; what cannot be removed now is removed by
                // the next run.
                drop(made.remove());
                Err(error)
            }
        }
    }

    /// Removes what a run in this box may have left below a delegated cgroup.
    pub(crate) fn remove_delegated(root: &Path, id: BoxId) -> Result<(), CgroupError> {
        remove_stale(&Cgroup::open(root)?, &name_of(id))
    }

    /// init's cgroup, for CLONE_INTO_CGROUP.
    pub(crate) fn init_fd(&self) -> BorrowedFd<'_> {
        self.init.as_fd()
    }

    /// The leaf.
    pub(crate) fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// Where the run's cgroups are, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The unit whose cgroup this is, if there is one.
    pub(crate) fn unit(&self) -> Option<String> {
        let name = self.path.file_name()?.to_str()?;
        self.made.is_none().then(|| name.to_owned())
    }

    /// Removes the leaf of a scope, in which nothing is left.
    pub(crate) fn clear(&self) -> Result<(), CgroupError> {
        Leaf::remove(&Cgroup::open(&self.path)?)
    }

    /// Leaves a scope to the next run when init is gone: nothing of this one is left in it beside
    /// the process that keeps it. If anything is, all that is in the scope is killed.
    pub(crate) fn vacate(self, keeps_it: i32) -> Result<(), CgroupError> {
        let vacated = self
            .clear()
            .and_then(|()| is_alone_in(&self.init, keeps_it));
        vacated.inspect_err(|_| drop(Self::end_scope(&self.path)))
    }

    /// Kills all that is in a scope which is of no use to anybody.
    pub(crate) fn end_scope(scope: &Path) -> Result<(), CgroupError> {
        Cgroup::open(scope)?.kill()
    }

    /// Whether a scope's cgroup is there and nobody is in it or below.
    pub(crate) fn is_deserted(scope: &Path) -> bool {
        let populated = Cgroup::open(scope).and_then(|top| top.is_populated());
        populated.is_ok_and(|populated| !populated)
    }

    /// Removes the cgroups of a scope that systemd has none of any more. The kernel keeps those in
    /// which somebody is.
    pub(crate) fn remove_scope(scope: &Path) -> Result<(), CgroupError> {
        let top = Cgroup::open(scope)?;
        Leaf::remove(&top)?;
        top.remove_child(INIT)?;
        let what = || format!("cannot remove the cgroup '{}'", scope.display());
        fs::remove_dir(scope).map_err(|error| CgroupError::new(what(), error))
    }

    /// Gives the cgroups back when init is gone. Those of a scope are left to systemd: it learns
    /// from the directory that the scope has ended, and would keep the unit for ever if we removed
    /// it first.
    pub(crate) fn finish(mut self) -> Result<(), CgroupError> {
        match self.made.take() {
            Some(made) => made.remove(),
            None => {
                self.sweep();
                Ok(())
            }
        }
    }

    /// Removes what systemd could not: it takes a scope away when init has ended, and a leaf that
    /// was made in this very moment would stay for ever. It has begun to if init's cgroup is gone.
    fn sweep(&self) {
        if self.init.path() == self.path || self.init.path().exists() {
            return;
        }
        drop(self.clear());
        drop(fs::remove_dir(&self.path));
    }
}

impl Drop for Subtree {
    /// Removes the cgroups of a run that was given up; only [`Subtree::finish`] reports errors.
    fn drop(&mut self) {
        match self.made.take().map(Made::remove) {
            Some(Err(error)) => log::warn!("{error}; the next command on this box removes it"),
            Some(Ok(())) => {}
            None => self.sweep(),
        }
    }
}

/// Fails unless this process is the only one in the cgroup.
fn is_alone_in(cgroup: &Cgroup, process: i32) -> Result<(), CgroupError> {
    let there = cgroup.processes()?;
    if there == [process] {
        return Ok(());
    }
    let what = format!("{} cannot be used again", cgroup.path().display());
    let others = format!("it holds the processes {there:?} and should hold {process} alone");
    Err(CgroupError::new(what, io::Error::other(others)))
}

/// Moves the processes to a cgroup, except those that are there. Even a move to the same place may
/// wait for the kernel, but not right after another one, and systemd has usually just moved one.
fn settle(cgroup: &Cgroup, residents: &[i32]) -> Result<(), CgroupError> {
    if residents.is_empty() {
        return Ok(());
    }
    let there = cgroup.processes()?;
    let mut outside = residents.iter().filter(|pid| !there.contains(pid));
    outside.try_for_each(|pid| cgroup.adopt(*pid))
}

fn name_of(id: BoxId) -> String {
    format!("isolate-{id}")
}

fn make_leaf(top: &Cgroup, limits: &LeafLimits) -> Result<Leaf, CgroupError> {
    top.enable(&available(top, limits)?)?;
    Leaf::create(top, limits)
}

/// The controllers that the limits need; the optional one only where it can be had.
fn available(cgroup: &Cgroup, limits: &LeafLimits) -> Result<Vec<&'static str>, CgroupError> {
    let mut wanted = limits.controllers();
    if wanted.is_empty() {
        return Ok(wanted);
    }
    let present = cgroup.controllers()?;
    wanted.retain(|name| LeafLimits::requires(name) || present.iter().any(|have| have == name));
    let missing = |name: &&&str| !present.iter().any(|have| have == **name);
    match wanted.iter().find(missing) {
        None => Ok(wanted),
        Some(missing) => Err(CgroupError::new(
            format!("cannot limit the run in {}", cgroup.path().display()),
            io::Error::other(format!(
                "the {missing} controller is not available there; {}",
                match way::rootless() {
                    Some(_) => Remedy::DelegateToUser,
                    None => Remedy::EnableController,
                }
            )),
        )),
    }
}

fn remove_stale(root: &Cgroup, name: &str) -> Result<(), CgroupError> {
    let Some(top) = root.child(name)? else {
        return Ok(());
    };
    top.kill()?;
    let started = Instant::now();
    while top.is_populated()? && started.elapsed() < STALE_PATIENCE {
        std::thread::sleep(Duration::from_millis(2));
    }
    remove_all(root, name, &top)
}

fn remove_all(root: &Cgroup, name: &str, top: &Cgroup) -> Result<(), CgroupError> {
    Leaf::remove(top)?;
    top.remove_child(INIT)?;
    root.remove_child(name)
}
