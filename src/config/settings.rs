//! The configuration as the rest of the program sees it: only complete and checked values.
//!
//! `Default` is what holds where no file says otherwise; `isolate.toml` shows the same values.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use super::box_set::BoxSet;
use super::ceilings::Ceilings;
pub(crate) use super::cpu_settings::{CpuSettings, LeaseUnit, Smt};
pub(crate) use super::scope_life::ScopeLife;
use crate::check_name::CheckName;
use crate::dir_rule::{DirRequest, DirRule};
use crate::quantity::{BoxId, Bytes, CpuList};
use crate::syscall_set::SyscallSet;
use crate::way;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `[boxes]`.
    pub(crate) boxes: BoxSettings,
    /// `[cgroup]`.
    pub(crate) cgroup: CgroupSettings,
    /// `[cpus]`: which CPUs runs have to themselves.
    pub(crate) cpus: CpuSettings,
    /// `[defaults]`: limits of `--run` that the command line leaves open.
    pub(crate) defaults: Limits,
    /// `[exec]`: limits of `exec` that the command line leaves open, with `[defaults]` already
    /// merged in.
    pub(crate) exec: Limits,
    /// `[broker]`: which users need not be asked about.
    pub(crate) broker: BrokerSettings,
    /// `[ceilings]`: what users who are not root may have.
    pub(crate) ceilings: Ceilings,
    /// `[directories] rules`, in order, each place at most once.
    pub(crate) directories: Vec<DirRule>,
    /// `[directories] exec_etc`: whether `exec` has a small `/etc`, unless rules name one.
    pub(crate) exec_etc: bool,
    /// `[syscalls] deny`.
    pub(crate) syscalls: SyscallSet,
    /// `[doctor] silence`: checks that count for nothing, and why.
    pub(crate) silenced: BTreeMap<CheckName, String>,
    /// `[log]`: what is remembered of commands.
    pub(crate) log: LogSettings,
    /// How the runs of a batch are carried out.
    pub(crate) batch: BatchSettings,
    /// `[[pin]]`, in order; see [`Settings::pin_of`].
    pub(crate) pins: Vec<Pin>,
}

/// Which boxes there are, where they are, and which ids they have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoxSettings {
    /// The directory that holds the boxes' directories: absolute, without `..`.
    pub(crate) root: PathBuf,
    /// The directory that holds the boxes' lock files: absolute, without `..`, not `root`.
    pub(crate) locks: PathBuf,
    /// How many boxes can exist at the same time, 1 ..= 2^31-1: the number of ids for them.
    pub(crate) count: u32,
    /// The first of the uids, above 0; the last one stays below 2^32-2.
    pub(crate) first_uid: u32,
    /// The first of the gids, above 0; the last one stays below 2^32-2.
    pub(crate) first_gid: u32,
    /// `subid_user`: the user whose subordinate ids those above are.
    pub(crate) subid_user: Option<String>,
    /// Whether only root may make a box (isolate's `restricted_init`).
    pub(crate) only_root_inits: bool,
}

/// Where the cgroup of a run comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CgroupSettings {
    /// Who is asked for it.
    pub(crate) manager: Manager,
    /// The delegated subtree: absolute, without `..`. Only with [`Manager::Auto`] and
    /// [`Manager::Delegated`].
    pub(crate) root: Option<PathBuf>,
    /// The slice that holds the scopes: a valid unit name, `….slice`.
    pub(crate) slice: String,
    /// For how many seconds the scope of a box's next run is kept ready; with 0 none is made.
    pub(crate) keep_ready: u32,
    /// What a scope is for. With `keep_ready` 0 it is always for one run.
    pub(crate) scope: ScopeLife,
}

/// The most of `[broker] keep_answers`, in seconds: as long as polkit keeps what somebody gave a
/// password for.
pub(crate) const KEEP_ANSWERS_MAX: u32 = 300;

/// Whom the broker lets in by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerSettings {
    /// `groups`: a process that has one of them may use boxes, and polkit is not asked about that.
    /// Names of `/etc/group`, or numbers.
    pub(crate) groups: Vec<String>,
    /// `keep_answers`: for how many seconds a "yes" of polkit's counts for the very same question;
    /// with 0 polkit is asked each time.
    pub(crate) keep_answers: u32,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            groups: vec!["isolate".into()],
            keep_answers: 10,
        }
    }
}

/// Who makes the cgroup of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    /// The first of the others that works here.
    Auto,
    /// systemd, a transient scope for each run.
    Systemd,
    /// Nobody: the subtree was given to us beforehand.
    Delegated,
    /// There is no cgroup: rlimits and rusage only.
    None,
}

impl Manager {
    /// Every choice.
    pub(crate) const ALL: [Self; 4] = [Self::Auto, Self::Systemd, Self::Delegated, Self::None];

    /// The name in `[cgroup] manager`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Systemd => "systemd",
            Self::Delegated => "delegated",
            Self::None => "none",
        }
    }
}

/// The limits of a run. `None` is no limit, and no limit is ever zero, except `core`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// `time`: CPU time.
    pub(crate) time: Option<Duration>,
    /// `extra_time`: CPU time at which the program is killed, when this is more than `time`.
    pub(crate) extra_time: Option<Duration>,
    /// `wall_time`.
    pub(crate) wall_time: Option<Duration>,
    /// `mem`: `RLIMIT_AS` of each process.
    pub(crate) address_space: Option<Bytes>,
    /// `cg_mem`: `memory.max` of the run.
    pub(crate) cg_mem: Option<Bytes>,
    /// `stack`: `RLIMIT_STACK`.
    pub(crate) stack: Option<Bytes>,
    /// `soft_stack`: the soft limit, where it is lower.
    pub(crate) soft_stack: Option<Bytes>,
    /// `fsize`: `RLIMIT_FSIZE`.
    pub(crate) file_size: Option<Bytes>,
    /// `core`: `RLIMIT_CORE`; zero is zero.
    pub(crate) core: Bytes,
    /// `open_files`: `RLIMIT_NOFILE`.
    pub(crate) open_files: Option<u32>,
    /// `processes`: `RLIMIT_NPROC`, or `pids.max` with `--cg`.
    pub(crate) processes: Option<u32>,
}

/// What of commands about boxes goes to the system's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogSettings {
    /// `runs`: which runs.
    pub(crate) runs: LoggedRuns,
    /// `refusals`: whether commands that were refused.
    pub(crate) refusals: bool,
    /// `arguments`: whether the arguments of programs are told beside their names.
    pub(crate) arguments: bool,
}

/// Which runs go to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoggedRuns {
    /// Every run.
    All,
    /// The runs that the sandbox failed at.
    Failed,
    /// None.
    None,
}

impl LoggedRuns {
    /// Every choice.
    pub(crate) const ALL: [Self; 3] = [Self::All, Self::Failed, Self::None];

    /// The name in `[log] runs`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Failed => "failed",
            Self::None => "none",
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            runs: LoggedRuns::All,
            refusals: true,
            arguments: false,
        }
    }
}

/// How the runs of a batch are carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchSettings {
    /// `scope`: what a scope is for. With `keep_ready` 0 it is always for one run.
    pub(crate) scope: ScopeLife,
    /// `cache_dir`: where root's batches keep files by their digests; an absolute path.
    pub(crate) cache_dir: PathBuf,
    /// `cache_max`: how much each cache may hold; `None` is no limit.
    pub(crate) cache_max: Option<Bytes>,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            scope: ScopeLife::Box,
            cache_dir: "/var/cache/isolate-run".into(),
            cache_max: Some(Bytes(20 << 30)),
        }
    }
}

/// The CPUs and memory nodes that some boxes are bound to; at least one of the two is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    /// The boxes.
    pub(crate) boxes: BoxSet,
    /// `cpuset.cpus`; `None`: any CPU.
    pub(crate) cpus: Option<CpuList>,
    /// `cpuset.mems`; `None`: any node.
    pub(crate) mems: Option<CpuList>,
}

/// The directories of the sandbox where nothing else is configured, as rules.
pub(super) const DIRECTORIES: [&str; 10] = [
    "box=./box:rw",
    "bin",
    "dev=dev:fs",
    "dev/shm=tmpfs:fs:rw",
    "lib",
    "lib64:maybe",
    "proc=proc:fs",
    "sys/fs/cgroup=cgroup:fs:maybe",
    "tmp:tmp",
    "usr",
];

impl Settings {
    /// What the box is bound to. When several pins name it, the last one counts.
    pub(crate) fn pin_of(&self, id: BoxId) -> Option<&Pin> {
        self.pins.iter().rev().find(|pin| pin.boxes.contains(id))
    }
}

impl Default for Settings {
    fn default() -> Self {
        let defaults = Limits::default();
        Self {
            boxes: BoxSettings::default(),
            cgroup: CgroupSettings::default(),
            cpus: CpuSettings::default(),
            exec: Limits {
                processes: Some(Limits::EXEC_PROCESSES),
                ..defaults.clone()
            },
            defaults,
            broker: BrokerSettings::default(),
            ceilings: Ceilings::default(),
            directories: default_directories(),
            exec_etc: true,
            syscalls: SyscallSet::default(),
            silenced: BTreeMap::new(),
            log: LogSettings::default(),
            batch: BatchSettings::default(),
            pins: Vec::new(),
        }
    }
}

impl Default for CgroupSettings {
    fn default() -> Self {
        Self {
            manager: Manager::Auto,
            root: None,
            slice: "isolate.slice".into(),
            // Elsewhere the kernel lets no process be cloned into a scope that is there already.
            keep_ready: match way::rootless() {
                Some(rootless) if !rootless.is_in_manager => 0,
                _ => 30,
            },
            scope: ScopeLife::Box,
        }
    }
}

impl Limits {
    /// How many processes `exec` allows by default: it is for people, and a compiler or a shell
    /// needs more than the one of `--run`.
    pub(crate) const EXEC_PROCESSES: u32 = 256;
}

impl Default for Limits {
    /// The limits of `--run`, as in isolate.
    fn default() -> Self {
        Self {
            time: None,
            extra_time: None,
            wall_time: None,
            address_space: None,
            cg_mem: None,
            stack: None,
            soft_stack: None,
            file_size: None,
            core: Bytes(0),
            open_files: Some(1024),
            processes: Some(1),
        }
    }
}

/// [`DIRECTORIES`], parsed. A rule that does not parse would be missing here; a test counts them.
fn default_directories() -> Vec<DirRule> {
    DIRECTORIES
        .iter()
        .filter_map(|rule| match DirRequest::parse(OsStr::new(rule)) {
            Ok(DirRequest::Set(rule)) => Some(rule),
            Ok(DirRequest::Remove(_)) | Err(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(boxes: &str, cpus: &str) -> Pin {
        Pin {
            boxes: BoxSet::parse(boxes).unwrap(),
            cpus: Some(CpuList::parse(cpus).unwrap()),
            mems: None,
        }
    }

    #[test]
    fn no_default_directory_is_lost() {
        assert_eq!(Settings::default().directories.len(), DIRECTORIES.len());
    }

    #[test]
    fn the_last_pin_that_names_a_box_counts() {
        let settings = Settings {
            pins: vec![pin("0-9", "0"), pin("3", "1"), pin("20", "2")],
            ..Settings::default()
        };
        let cpus = |id| {
            settings
                .pin_of(BoxId(id))
                .and_then(|pin| pin.cpus.as_ref())
                .map(CpuList::as_str)
        };
        assert_eq!(cpus(2), Some("0"));
        assert_eq!(cpus(3), Some("1"));
        assert_eq!(cpus(10), None);
    }
}
