//! What it takes to move a process into a control group, measured.
//!
//! The kernel waits for a grace period whenever a process is written to `cgroup.procs`, unless that
//! was done just before. It does so for a process that is there already, too: so this process
//! writes itself into its own group, and nothing is changed.

use std::fs::File;
use std::io::{self, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cgroup::hierarchy;

/// How often it is measured.
const TIMES: usize = 7;
/// How long the kernel is left alone before each, so that it has forgotten the one before.
const PAUSE: Duration = Duration::from_millis(40);

/// The median.
pub(super) fn measure() -> io::Result<Duration> {
    let absent = || io::Error::from(io::ErrorKind::NotFound);
    let mount = hierarchy::mount_point()?.ok_or_else(absent)?;
    let own = hierarchy::cgroup_of("self")?.ok_or_else(absent)?;
    let mut file = File::options()
        .write(true)
        .open(mount.join(own).join("cgroup.procs"))?;
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        sleep(PAUSE);
        let begin = Instant::now();
        // This process.
        file.write_all(b"0")?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times[TIMES / 2])
}
