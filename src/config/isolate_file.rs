//! Reads configuration files of isolate, and finds out whether the cgroup that one names can be used.

use std::fs;
use std::path::Path;

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use crate::config::error::{ConfigError, Place};
use crate::config::files;
use crate::config::isolate_format::{self, IsolateFile};
use crate::request::ImportSource;

/// Reads the file that somebody named, and how errors call it.
pub(super) fn read(source: &ImportSource) -> Result<(IsolateFile, Place), ConfigError> {
    let (place, text) = match source {
        ImportSource::Stdin => {
            let place = Place::file(Path::new("standard input"));
            let text = files::read_all(std::io::stdin().lock(), &place)?;
            (place, text)
        }
        ImportSource::File(path) => (Place::file(path), files::read_bytes(path)?),
    };
    let file = isolate_format::parse(&text, &place, &is_cgroup)?;
    Ok((file, place))
}

/// Whether this is a cgroup (v2) that somebody made for runs. The root of a hierarchy is not: isolate 1.x has
/// `/sys/fs/cgroup` in its configuration wherever it runs, also where that belongs to systemd.
fn is_cgroup(path: &Path) -> bool {
    let is_cgroup2 = |path: &Path| {
        statfs(path).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC)
    };
    fs::canonicalize(path).is_ok_and(|path| {
        path.is_dir() && is_cgroup2(&path) && path.parent().is_some_and(is_cgroup2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_below_another_cgroup_is_not_made_for_runs() {
        for path in ["/", "/proc", "/sys/fs/cgroup", "/nowhere", "/dev/null"] {
            assert!(!is_cgroup(Path::new(path)), "{path}");
        }
    }
}
