//! Where the cgroup2 file system is mounted, and where in it a process lives.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

/// Where cgroup2 is mounted on a machine that has no cgroup v1 beside it.
const USUAL: &str = "/sys/fs/cgroup";

/// The mount point of the (first) cgroup2 file system that this process sees. It is
/// `/sys/fs/cgroup`, or, on a machine in hybrid mode, `/sys/fs/cgroup/unified` by
/// `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
pub(crate) fn mount_point() -> io::Result<Option<PathBuf>> {
    // Reading the list of all mounts takes ten times as long as this.
    if statfs(USUAL).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC) {
        return Ok(Some(PathBuf::from(USUAL)));
    }
    Ok(find_mount(&fs::read_to_string("/proc/self/mountinfo")?))
}

fn find_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let target = mount.split(' ').nth(4)?;
        (kind.split(' ').next()? == "cgroup2").then(|| PathBuf::from(target.replace("\\040", " ")))
    })
}

/// The cgroup of a process, relative to the root of the caller's cgroup namespace and without the
/// leading slash, from the line `0::/…` of `/proc/PID/cgroup`; `None` without cgroup v2.
pub(crate) fn cgroup_of(process: &str) -> io::Result<Option<PathBuf>> {
    let path = Path::new("/proc").join(process).join("cgroup");
    // Files of /proc do not tell their length: with room for all of it, one read is enough.
    let mut text = String::with_capacity(4096);
    fs::File::open(path)?.read_to_string(&mut text)?;
    Ok(find_v2(&text))
}

fn find_v2(text: &str) -> Option<PathBuf> {
    text.lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .map(PathBuf::from)
}

/// What a file of any content goes through.
#[cfg(fuzzing)]
pub(super) fn read_any(text: &str) {
    find_mount(text);
    find_v2(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_among_others() {
        let text = "24 1 0:20 / /proc rw shared:5 - proc proc rw\n\
                    30 24 0:26 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(
            find_mount(text),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
        assert_eq!(find_mount("24 1 0:20 / /proc rw - proc proc rw\n"), None);
        assert_eq!(find_mount("cgroup2\n - cgroup2\n"), None);
    }

    #[test]
    fn the_v2_line_is_found_among_those_of_v1() {
        assert_eq!(
            find_v2("12:pids:/a\n0::/isolate.slice/x.scope\n"),
            Some(PathBuf::from("isolate.slice/x.scope"))
        );
        assert_eq!(find_v2("0::/\n"), Some(PathBuf::new()));
        assert_eq!(find_v2("1:name=systemd:/\n"), None);
    }
}
