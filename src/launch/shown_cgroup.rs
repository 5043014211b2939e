//! The control group of the run as the program sees it. A new cgroup file system has the root of
//! its maker's cgroup namespace, so the program's process makes it, once it has a namespace of its
//! own.

use std::os::fd::{AsFd, OwnedFd};

use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};

use super::message::StepFailure;
use super::step::Step;
use crate::barrier::Barrier;
use crate::sys::mount;

/// Where it is to be shown.
#[derive(Debug)]
pub(super) struct ShownCgroup {
    /// The directory in the root of the sandbox.
    pub(super) target: OwnedFd,
    /// The directory rule.
    pub(super) index: usize,
    /// Whether it may be left out where this machine has no such file system, or does not let us
    /// mount it.
    pub(super) maybe: bool,
}

impl ShownCgroup {
    /// Mounts it so that nothing in it can be changed. Allocates nothing: the process shares the
    /// memory of init.
    pub(super) fn mount(&self) -> Result<(), StepFailure> {
        let attributes = Barrier::ReadOnlyCgroup.of(MOUNT_ATTR_RDONLY)
            | MOUNT_ATTR_NOSUID
            | MOUNT_ATTR_NODEV
            | MOUNT_ATTR_NOEXEC;
        let made = match mount::new_file_system(c"cgroup2", &[], attributes) {
            Err(_) if self.maybe => return Ok(()),
            made => made.map_err(StepFailure::at_index(Step::NewFileSystem, self.index))?,
        };
        mount::attach(made.as_fd(), self.target.as_fd(), c"")
            .map_err(StepFailure::at_index(Step::Mount, self.index))
    }
}
