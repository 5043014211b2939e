//! The limits that a keeper needs. It is a child of the caller's, so it has theirs, which are meant
//! for the program: one that the keeper reaches would end a run without a verdict.

use std::io;

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use super::Inheritance;

/// What a keeper, init and the process that becomes the program may need.
const NEEDED: [(Resource, u64); 7] = [
    (Resource::RLIMIT_AS, 256 << 20),
    (Resource::RLIMIT_CPU, RLIM_INFINITY),
    (Resource::RLIMIT_DATA, 256 << 20),
    // Result files, and what says whose a box is.
    (Resource::RLIMIT_FSIZE, RLIM_INFINITY),
    (Resource::RLIMIT_NOFILE, 256),
    // Each timer that sends a signal counts here.
    (Resource::RLIMIT_SIGPENDING, 64),
    (Resource::RLIMIT_STACK, 1 << 20),
];

/// Raises the limits of the calling process that are too low for a keeper, as far as it may. If
/// there was one, returns what the process had before, for the program.
pub(crate) fn lift_limits() -> io::Result<Option<Inheritance>> {
    let mut too_low = Vec::new();
    for (resource, needed) in NEEDED {
        let (soft, hard) = getrlimit(resource)?;
        if soft < needed {
            too_low.push((resource, needed, hard));
        }
    }
    if too_low.is_empty() {
        return Ok(None);
    }
    let before = Inheritance::of_process()?;
    for (resource, needed, hard) in too_low {
        match setrlimit(resource, needed, hard.max(needed)) {
            // It takes CAP_SYS_RESOURCE to exceed the hard limit. If the rest is not enough, a
            // later step fails and is named.
            Err(Errno::EPERM) => setrlimit(resource, hard, hard)?,
            other => other?,
        }
    }
    Ok(Some(before))
}

/// Raises the limit of open files of the calling process to what it may have. Each directory rule
/// takes a descriptor, and the usual limit is for programs that wait for descriptors by select(2).
pub(crate) fn lift_open_files() -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}
