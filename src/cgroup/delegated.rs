//! A cgroup that was given to us, with whatever processes are in it, as that of a container or of a
//! service: it is made ready to have those of runs below it.

use std::io;
use std::path::Path;

use super::{Cgroup, CgroupError};

/// Where the processes are that were in a delegated cgroup itself.
pub(crate) const REST: &str = "isolate-rest";

/// The controllers that limits of a run may need, in the order of their use.
const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "cpuset"];

/// How often the processes are moved: one that forks meanwhile leaves a child behind.
const ROUNDS: usize = 10;

/// Stands for a process outside of our PID namespace.
const OUTSIDE: i32 = 0;

/// The cgroup that was delegated to a process, by the one that it is in: an earlier run may have
/// moved it out of the way.
pub(crate) fn delegated_to(own: &Path) -> &Path {
    match (own.file_name(), own.parent()) {
        (Some(name), Some(parent)) if name == REST => parent,
        _ => own,
    }
}

/// Makes a delegated cgroup ready once and for all: its processes are in a child, and all
/// controllers that runs may need are enabled, as far as they are there. Returns those.
pub(crate) fn make_ready(root: &Path) -> Result<Vec<&'static str>, CgroupError> {
    let root = Cgroup::open(root)?;
    let present = root.controllers()?;
    let is_there = |name: &&str| present.iter().any(|have| have == name);
    let controllers: Vec<_> = CONTROLLERS.into_iter().filter(is_there).collect();
    move_out_of_the_way(&root)?;
    enable(&root, &controllers)?;
    Ok(controllers)
}

/// Enables controllers in a delegated cgroup. If it holds processes, such as the shell in a
/// container, they move to a child, since the kernel allows processes only in the leaves.
pub(super) fn enable(root: &Cgroup, controllers: &[&str]) -> Result<(), CgroupError> {
    let mut busy = match root.enable(controllers) {
        Err(error) if error.source.raw_os_error() == Some(libc::EBUSY) => error,
        other => return other,
    };
    for _ in 0..ROUNDS {
        move_out_of_the_way(root)?;
        match root.enable(controllers) {
            Ok(()) => return Ok(()),
            Err(error) => busy = error,
        }
    }
    match root.processes()?.contains(&OUTSIDE) {
        false => Err(busy),
        true => Err(CgroupError::new(
            busy.what,
            io::Error::other(
                "processes are in it that cannot be moved from here, since they are outside of \
                 this PID namespace: start it in a cgroup of its own",
            ),
        )),
    }
}

fn move_out_of_the_way(root: &Cgroup) -> Result<(), CgroupError> {
    let rest = root.child_or_create(REST)?;
    for pid in root.processes()? {
        if pid == OUTSIDE {
            continue;
        }
        match rest.adopt(pid) {
            // It is gone and need not move.
            Err(error) if error.source.raw_os_error() == Some(libc::ESRCH) => {}
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_moved_still_knows_what_was_delegated() {
        let given = |own: &str| delegated_to(Path::new(own)).to_str().unwrap().to_owned();
        assert_eq!(given("isolate-rest"), "");
        assert_eq!(given("a.service/isolate-rest"), "a.service");
        assert_eq!(given("a.service"), "a.service");
        assert_eq!(given(""), "");
        assert_eq!(given("isolate-rest/below"), "isolate-rest/below");
    }
}
