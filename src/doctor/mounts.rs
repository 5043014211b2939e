//! The mounts of the machine, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::dir_rule::unescape;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where it is.
    pub(super) target: PathBuf,
    /// The type of the file system.
    pub(super) kind: String,
    /// The options of the mount and of its file system.
    options: Vec<String>,
}

impl Mount {
    /// Whether an option is set.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|other| other == option)
    }

    /// The options of the file system that are set among these.
    pub(super) fn those_of<'o>(&self, options: &[&'o str]) -> Vec<&'o str> {
        let set = options.iter().filter(|option| self.has(option));
        set.copied().collect()
    }
}

/// Takes the text apart; a line that makes no sense is left out.
pub(super) fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(4);
    // The kernel writes some bytes of a path as `\ooo`.
    let target = OsString::from_vec(unescape(place.next()?.as_bytes()));
    let mut kind = kind.split(' ');
    let options = place.next()?.split(',');
    Some(Mount {
        target: target.into(),
        kind: kind.next()?.to_owned(),
        options: options
            .chain(kind.nth(1).unwrap_or_default().split(','))
            .map(str::to_owned)
            .collect(),
    })
}

/// The mount that a path lies on: of those above it the nearest, and of these the last.
pub(super) fn of<'m>(mounts: &'m [Mount], path: &Path) -> Option<&'m Mount> {
    let above = mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.target));
    above.max_by_key(|mount| mount.target.components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
30 21 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n\
40 21 8:2 / /var/my\\040b\\134oxes rw,noexec - xfs /dev/sda2 rw,usrquota\n\
nonsense\n";

    #[test]
    fn the_nearest_mount_above_a_path_is_found() {
        let mounts = parse(TEXT);
        let at = |path: &str| of(&mounts, Path::new(path)).unwrap();
        assert_eq!(at("/var/my b\\oxes/3").kind, "xfs");
        assert!(at("/var/my b\\oxes").has("noexec") && at("/var/my b\\oxes").has("usrquota"));
        assert_eq!(at("/var/my b\\oxesx").target, Path::new("/"));
        let cgroup = at("/sys/fs/cgroup");
        let kept = cgroup.those_of(&["nsdelegate", "memory_localevents", "memory_recursiveprot"]);
        assert_eq!(kept, ["nsdelegate", "memory_recursiveprot"]);
    }
}
