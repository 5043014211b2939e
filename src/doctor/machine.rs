//! What the checks look at: the files of the machine, the configuration, and what others say. The
//! only part of doctor that asks anybody; every check decides from what is here.

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::statvfs::statvfs;
use nix::unistd::{getegid, geteuid, getgroups};

use super::migration;
use super::mounts::{self, Mount};
use super::tree::Tree;
use crate::cgroup::Place;
use crate::check_name::CheckName;
use crate::config::settings::Settings;
use crate::config::{self, ConfigFiles, ConfigSource};
use crate::error::chain;
use crate::home::find_place;
use crate::launch::id_map;
use crate::remedy::Remedy;
use crate::request::Doctor;
use crate::sys::quota::look_for_user_quotas;
use crate::sys::time::is_synchronized;
use crate::systemd::{self, SliceLimits, Survey};
use crate::way;

/// The units that checks ask about.
const UNITS: [&str; 6] = [
    "isolate.socket",
    "isolate.service",
    "isolate-removal.path",
    "polkit.service",
    "systemd-homed.service",
    "systemd-oomd.service",
];

/// Everything that a check may look at.
#[derive(Debug)]
pub(super) struct Machine {
    /// The files.
    pub(super) tree: Tree,
    /// The configuration, or the defaults where it cannot be read.
    pub(super) settings: Settings,
    /// Why the configuration cannot be used.
    pub(super) mistake: Option<String>,
    /// What no file says.
    pub(super) facts: Facts,
}

/// What no file says. `None`: nobody was asked, as below `--root`.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Who looks.
    pub(super) looker: Looker,
    /// What systemd says, or why it says nothing.
    pub(super) survey: Option<Result<Survey, String>>,
    /// What the slice of runs is limited to, where systemd says so.
    pub(super) slice: Option<SliceLimits>,
    /// Where the control groups of runs come from, or why from nowhere.
    pub(super) place: Option<Result<Place, String>>,
    /// The file system of the boxes.
    pub(super) volume: Option<Volume>,
    /// Whether it has quotas for users.
    pub(super) quotas: Option<Result<(), Errno>>,
    /// Whether it can be mounted with a map of ids, if root looks.
    pub(super) id_maps: Option<Result<(), Errno>>,
    /// Whether the clock is kept right.
    pub(super) is_synchronized: Option<bool>,
    /// What it takes to look at the clock.
    pub(super) look_at_clock: Option<Duration>,
    /// What it takes to move a process into a control group.
    pub(super) migration: Option<Result<Duration, String>>,
}

/// The user who looks, as far as that changes what is seen.
#[derive(Debug, Default)]
pub(super) struct Looker {
    /// Whether it is root.
    pub(super) is_root: bool,
    /// Whether their runs do without root and without the broker.
    pub(super) is_rootless: bool,
    /// Their number.
    pub(super) uid: u32,
    /// The number that their files have in the eyes of this process.
    pub(super) owner: u32,
    /// Their groups.
    pub(super) groups: Vec<u32>,
}

/// What a file system holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Volume {
    /// Bytes of it, and those that are free.
    pub(super) bytes: (u64, u64),
    /// Files that it can hold, and those that it can still hold; zero where it does not count.
    pub(super) files: (u64, u64),
}

impl Looker {
    fn of_process() -> Self {
        let groups = getgroups().unwrap_or_default().into_iter();
        let groups = groups.chain([getegid()]).map(|gid| gid.as_raw());
        Self {
            is_root: geteuid().is_root() && way::rootless().is_none(),
            is_rootless: way::rootless().is_some(),
            uid: way::outside(geteuid().as_raw()),
            owner: geteuid().as_raw(),
            groups: groups.collect(),
        }
    }
}

impl Machine {
    /// Looks around: only what these checks need, where it takes time.
    pub(super) fn look(asked: &Doctor, checks: &[CheckName]) -> Self {
        let tree = Tree::below(asked.root.as_deref().unwrap_or(Path::new("/")));
        let (settings, mistake) = match config::load(&configuration(asked, &tree)) {
            Ok(loaded) => (loaded.settings, None),
            Err(error) => (Settings::default(), Some(chain(&error))),
        };
        let mut machine = Self {
            tree,
            settings,
            mistake,
            facts: Facts::default(),
        };
        if asked.root.is_none() {
            machine.facts = machine.ask(checks);
        } else {
            // Whoever names a tree may see all of it.
            machine.facts.looker.is_root = true;
        }
        machine
    }

    /// Looks at files, and at what the kernel says at once: no service is asked, and nothing is
    /// measured.
    pub(super) fn glance(config: Option<PathBuf>) -> Self {
        let asked = Doctor {
            config,
            root: Some(PathBuf::from("/")),
            ..Doctor::default()
        };
        let mut machine = Self::look(&asked, &[]);
        machine.facts = Facts {
            looker: Looker::of_process(),
            place: Some(machine.place()),
            volume: volume(&nearest(&machine.settings.boxes.root)),
            is_synchronized: is_synchronized().ok(),
            look_at_clock: Some(look_at_clock()),
            ..Facts::default()
        };
        machine
    }

    fn place(&self) -> Result<Place, String> {
        if way::rootless().is_some() && !systemd::is_there() {
            let remedy = Remedy::StartUsersManager;
            return Err(format!("your systemd does not run: {remedy}"));
        }
        find_place(&self.settings.cgroup).map_err(|error| chain(&error))
    }

    fn ask(&self, checks: &[CheckName]) -> Facts {
        let looker = Looker::of_process();
        let boxes = nearest(&self.settings.boxes.root);
        let slice = self.settings.cgroup.slice.as_str();
        let has_systemd = self.tree.has("/run/systemd/system");
        let manager = systemd::manager_path();
        let mut slices = vec!["-.slice"];
        match looker.is_rootless {
            false => slices.push(slice),
            // Those of the machine that the user's systemd is in.
            true => slices.extend(manager.iter().filter_map(|name| {
                let name = name.to_str()?;
                name.ends_with(".slice").then_some(name)
            })),
        }
        let survey =
            has_systemd.then(|| Survey::ask(&UNITS, &slices).map_err(|error| chain(&error)));
        let slice = has_systemd.then(|| SliceLimits::ask(slice).ok()).flatten();
        let errno = |error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0));
        let tried = |probe: fn(BorrowedFd<'_>) -> io::Result<()>| {
            let opened = File::open(&boxes).and_then(|dir| probe(dir.as_fd()));
            opened.map_err(errno)
        };
        let id_maps = looker.is_root.then(|| tried(id_map::probe));
        let measures = looker.is_root && checks.contains(&CheckName::Migration);
        Facts {
            looker,
            survey,
            slice,
            place: Some(self.place()),
            volume: volume(&boxes),
            quotas: Some(tried(look_for_user_quotas)),
            id_maps,
            is_synchronized: is_synchronized().ok(),
            look_at_clock: Some(look_at_clock()),
            migration: measures.then(|| migration::measure().map_err(|error| chain(&error))),
        }
    }

    /// The mounts; none when they cannot be read.
    pub(super) fn mounts(&self) -> Vec<Mount> {
        mounts::parse(&self.tree.text("/proc/self/mountinfo").unwrap_or_default())
    }

    /// What systemd says, where it was asked and answered.
    pub(super) fn survey(&self) -> Option<&Survey> {
        self.facts.survey.as_ref()?.as_ref().ok()
    }
}

/// The configuration that is named, or that of the machine that is looked at.
fn configuration(asked: &Doctor, tree: &Tree) -> ConfigSource {
    let mut source = ConfigSource::new(asked.config.as_deref());
    source.subuid = tree.path(&source.subuid);
    source.subgid = tree.path(&source.subgid);
    if let ConfigFiles::Installed {
        main,
        drop_ins,
        old,
    } = &mut source.files
    {
        for path in std::iter::once(main).chain(drop_ins).chain(old) {
            *path = tree.path(&*path);
        }
    }
    source
}

/// The least time that a look at the clock takes, of some hundreds that are made one after the
/// other.
fn look_at_clock() -> Duration {
    let looks = 100;
    let each = (0..5).map(|_| {
        let begin = Instant::now();
        for _ in 1..looks {
            black_box(Instant::now());
        }
        begin.elapsed() / looks
    });
    each.min().unwrap_or_default()
}

/// The directory itself, or the nearest above it that is there.
fn nearest(directory: &Path) -> PathBuf {
    let found = directory.ancestors().find(|directory| directory.exists());
    found.unwrap_or(Path::new("/")).to_owned()
}

#[allow(clippy::useless_conversion)] // Other machines have other widths.
fn volume(directory: &Path) -> Option<Volume> {
    let found = statvfs(directory).ok()?;
    let size = u64::from(found.fragment_size());
    Some(Volume {
        bytes: (
            u64::from(found.blocks()) * size,
            u64::from(found.blocks_available()) * size,
        ),
        files: (u64::from(found.files()), u64::from(found.files_available())),
    })
}

/// A machine of made-up files, about which nobody is asked.
#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The files are there as long as this is.
    pub(in super::super) struct MadeUp {
        pub(in super::super) machine: Machine,
        _files: tempfile::TempDir,
    }

    pub(in super::super) fn with(files: &[(&str, &str)]) -> MadeUp {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::below(dir.path());
        for (path, text) in files {
            tree.replace(path, text).unwrap();
        }
        let looker = Looker {
            is_root: true,
            ..Looker::default()
        };
        MadeUp {
            machine: Machine {
                tree,
                settings: Settings::default(),
                mistake: None,
                facts: Facts {
                    looker,
                    ..Facts::default()
                },
            },
            _files: dir,
        }
    }

    impl std::ops::Deref for MadeUp {
        type Target = Machine;
        fn deref(&self) -> &Machine {
            &self.machine
        }
    }

    #[test]
    fn a_directory_that_is_not_there_yet_lies_where_it_will_be() {
        assert_eq!(nearest(Path::new("/proc/none/such")), Path::new("/proc"));
        assert!(volume(Path::new("/")).unwrap().bytes.0 > 0);
    }
}
