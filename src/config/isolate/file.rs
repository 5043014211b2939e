//! Reads configuration files of isolate: which of them exists, and whether the cgroup that it names
//! can be used.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use super::format::{self, IsolateFile};
use super::key::Cgroups;
use crate::config::error::{ConfigError, Place};
use crate::config::files;
use crate::config::fragment::Fragment;
use crate::config::sources::ConfigSource;
use crate::request::ImportSource;

/// Reads the first of the files that exists. A directory does not count: `/etc/isolate` is either
/// isolate's file or the directory of our own.
pub(in crate::config) fn read_installed(
    paths: &[PathBuf],
) -> Result<Option<(PathBuf, Fragment)>, ConfigError> {
    let Some((path, text)) = first(paths)? else {
        return Ok(None);
    };
    let file = format::parse(&text, &Place::file(path), &MACHINE)?;
    Ok(Some((path.to_owned(), file.fragment)))
}

fn first(paths: &[PathBuf]) -> Result<Option<(&Path, Vec<u8>)>, ConfigError> {
    for path in paths.iter().filter(|path| !path.is_dir()) {
        if let Some(text) = files::read_bytes_if_present(path)? {
            return Ok(Some((path, text)));
        }
    }
    Ok(None)
}

/// Reads the file that somebody named, and says how errors call it.
pub(super) fn read(source: &ImportSource) -> Result<(IsolateFile, Place), ConfigError> {
    let (place, text) = match source {
        ImportSource::Stdin => {
            let place = Place::file(Path::new("standard input"));
            let text = files::read_all(std::io::stdin().lock(), &place)?;
            (place, text)
        }
        ImportSource::File(path) => (Place::file(path), files::read_bytes(path)?),
        ImportSource::Installed => read_first(&ConfigSource::old())?,
    };
    let file = format::parse(&text, &place, &MACHINE)?;
    Ok((file, place))
}

/// Reads the file that isolate has on this machine.
fn read_first(paths: &[PathBuf]) -> Result<(Place, Vec<u8>), ConfigError> {
    if let Some((path, text)) = first(paths)? {
        return Ok((Place::file(path), text));
    }
    let names = paths.iter().map(|path| path.display().to_string());
    let places = names.collect::<Vec<_>>().join(", ");
    let none = "isolate has no configuration there; name the file";
    Err(Place::file(Path::new(&places)).error(none))
}

/// The machine that this runs on.
const MACHINE: Cgroups<'_> = Cgroups {
    is_there: &is_cgroup,
    named_in: &|path| files::read_if_present(path).ok().flatten(),
};

/// Whether this is a cgroup (v2) that somebody made for runs. The root of a hierarchy is not:
/// isolate 1.x has `/sys/fs/cgroup` in its configuration on every machine, even where that is
/// systemd's.
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
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::machine::Machine;
    use crate::config::settings::Settings;

    fn count(machine: &Machine) -> u32 {
        machine.load().unwrap().settings.boxes.count
    }

    #[test]
    fn the_first_file_is_read_where_there_is_no_toml() {
        let machine = Machine::new().write("older", "num_boxes = 7\n");
        assert_eq!(count(&machine), 7);
        let machine = machine.isolate_file("num_boxes = 8\n");
        assert_eq!(count(&machine), 8);
        let machine = machine.drop_in("empty.toml", "");
        assert_eq!(machine.load().unwrap().settings, Settings::default());
        let machine = Machine::new().isolate_file("not read").main("");
        assert_eq!(machine.load().unwrap().settings, Settings::default());
    }

    #[test]
    fn a_directory_of_that_name_is_passed_over() {
        let machine = Machine::new().write("older", "num_boxes = 7\n");
        fs::create_dir(machine.path().join("old")).unwrap();
        assert_eq!(count(&machine), 7);
        let machine = Machine::new().write("older", "num_boxes = 7\n");
        symlink("/etc", machine.path().join("old")).unwrap();
        assert_eq!(count(&machine), 7);
    }

    #[test]
    fn what_is_there_and_cannot_be_read_is_an_error() {
        let machine = Machine::new().write("older", "");
        symlink("nowhere", machine.path().join("old")).unwrap();
        let error = machine.load().unwrap_err();
        assert!(error.starts_with("DIR/old: cannot open: "), "{error}");
        let machine = Machine::new();
        nix::unistd::mkfifo(&machine.path().join("old"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(
            machine.load().unwrap_err(),
            "DIR/old: not a regular file; only regular files are read"
        );
        let machine = Machine::new().isolate_file("#\n".repeat(1 << 20));
        let error = machine.load().unwrap_err();
        assert!(error.starts_with("DIR/old: too large; "), "{error}");
    }

    #[test]
    fn every_value_says_where_it_is_from() {
        let machine =
            Machine::new().isolate_file("# mine\nnum_boxes = 8\nbox1.cpus = 0\n\nbox1.mems=1\n");
        let printed = machine.load().unwrap().to_string();
        for line in [
            "# read: DIR",
            "count = 8 # DIR:2",
            "boxes = \"1\" # DIR:3",
            "cpus = \"0\" # DIR:3",
            "mems = \"1\" # DIR:5",
            "first_uid = 60000 # default",
        ] {
            let line = line.replace("DIR", machine.path().join("old").to_str().unwrap());
            assert!(
                printed.lines().any(|other| other == line),
                "{line}\n{printed}"
            );
        }
    }

    #[test]
    fn what_is_not_below_another_cgroup_is_not_made_for_runs() {
        for path in ["/", "/proc", "/sys/fs/cgroup", "/nowhere", "/dev/null"] {
            assert!(!is_cgroup(Path::new(path)), "{path}");
        }
    }
}
