//! What the caller wants, in their own words: untrusted, nothing decided, nothing opened.

mod configuration;
mod limits;
mod looking;
mod many;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::check_name::CheckName;
use crate::dir_rule::DirRequest;
use crate::quantity::{BoxId, DiskQuota, Ids};
use crate::screen::Coloring;
pub(crate) use configuration::{ConfigRequest, ConfigTask, ImportSource, KeyChange};
pub(crate) use limits::LimitRequest;
pub(crate) use looking::{GcRequest, LogsRequest, StatusForm, StatusRequest, Whose};
pub(crate) use many::{BatchOptions, Comparison, PairOptions, Solution, TestOptions};

/// Which box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BoxChoice {
    /// This one.
    Number(BoxId),
    /// Any that is free (`auto`).
    Auto,
}

/// Something to say that needs no box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tell {
    /// The topic.
    pub(crate) topic: Topic,
    /// `--config`: this file instead of the installed configuration and its drop-ins.
    pub(crate) config: Option<PathBuf>,
    /// `--rootless`: what holds for who does without the broker.
    pub(crate) rootless: bool,
    /// How often `-v` was given.
    pub(crate) verbosity: u8,
}

/// What can be said without a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    /// `--version`.
    Version,
    /// `--check-config`: the merged configuration.
    Config,
    /// `--print-cg-root`: the cgroup below which the runs live.
    CgRoot,
}

/// What `doctor` is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Doctor {
    /// Look, change, or take back.
    pub(crate) task: DoctorTask,
    /// `--only`: these checks; none is all.
    pub(crate) only: Vec<CheckName>,
    /// `--skip`: not these.
    pub(crate) skip: Vec<CheckName>,
    /// Whether it fixes what it otherwise fixes by name alone.
    pub(crate) fixes_all: bool,
    /// `--json`.
    pub(crate) json: bool,
    /// `--quiet`: nothing but warnings and errors.
    pub(crate) quiet: bool,
    /// How often `-v` was given.
    pub(crate) verbosity: u8,
    /// Whether the exit code is isolate-check-environment's.
    pub(crate) is_check_environment: bool,
    /// `--config`: this file instead of the installed configuration and its drop-ins.
    pub(crate) config: Option<PathBuf>,
    /// `--root`: the tree of another machine.
    pub(crate) root: Option<PathBuf>,
    /// `--rootless`: what holds for who does without the broker.
    pub(crate) rootless: bool,
}

/// What doctor does besides looking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum DoctorTask {
    /// Nothing.
    #[default]
    Look,
    /// `--fix`.
    Fix,
    /// `--undo`.
    Undo,
}

/// What `container-init` is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerInit {
    /// The program and its arguments, at least one word.
    pub(crate) command: Vec<OsString>,
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// How often `-v` was given.
    pub(crate) verbosity: u8,
}

/// What `calibrate` is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Calibration {
    /// `--save`: as the reference.
    pub(crate) save: bool,
    /// `--reference`: its file.
    pub(crate) reference: PathBuf,
    /// `--json`.
    pub(crate) json: bool,
    /// `--time`: how long all loads take together, or the one that is told.
    pub(crate) time: Duration,
    /// `--box-id`, for the runs.
    pub(crate) box_id: Option<OsString>,
    /// `--config`, likewise.
    pub(crate) config: Option<PathBuf>,
    /// The load to do, inside of a box; `None` is to measure all of them.
    pub(crate) load: Option<Load>,
}

/// Work that leans on one part of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// Integer arithmetic.
    Integer,
    /// Branches that cannot be foreseen.
    Branches,
    /// The latency of memory.
    Latency,
    /// The bandwidth of memory.
    Bandwidth,
    /// System calls.
    Calls,
}

impl Load {
    /// Every load.
    pub(crate) const ALL: [Self; 5] = [
        Self::Integer,
        Self::Branches,
        Self::Latency,
        Self::Bandwidth,
        Self::Calls,
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Branches => "branches",
            Self::Latency => "latency",
            Self::Bandwidth => "bandwidth",
            Self::Calls => "calls",
        }
    }
}

/// A file of the caller's and its name in the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Below `/box`, without a way out of it.
    pub(crate) inside: PathBuf,
    /// Out here.
    pub(crate) outside: PathBuf,
}

/// `exec` with files of the caller's own, or more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// The options of each call, as `--name=value`, without those below.
    pub(crate) options: Vec<OsString>,
    /// The program and its arguments.
    pub(crate) program: Vec<OsString>,
    /// `--in`.
    pub(crate) bring: Vec<Copied>,
    /// `--out`.
    pub(crate) fetch: Vec<Copied>,
    /// `--repeat`.
    pub(crate) repeat: Option<u32>,
    /// `--keep`.
    pub(crate) keep: bool,
    /// `--json`.
    pub(crate) json: bool,
    /// `--silent`.
    pub(crate) silent: bool,
    /// `--color`.
    pub(crate) coloring: Coloring,
}

/// How `exec` says how its program ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Telling {
    /// A line for people.
    #[default]
    Words,
    /// The report: `--json`.
    Json,
}

/// How the broker has to serve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BrokerOptions {
    /// The socket to listen on, instead of one that systemd hands over.
    pub(crate) socket: Option<PathBuf>,
    /// `--config` for everybody who is served.
    pub(crate) config: Option<PathBuf>,
}

/// A call about a box. Root's own process carries it out, and the broker everybody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoxCall {
    /// The options of every command about a box.
    pub(crate) common: Common,
    /// What to do.
    pub(crate) command: BoxCommand,
}

/// What to do with a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BoxCommand {
    /// `--init`: make it.
    Init(Init),
    /// `--run`: run a program in one that was made before.
    Run(ProgramRequest),
    /// `--cleanup`: remove it.
    Cleanup,
    /// `exec`: take a free one, run a program, give it back.
    Exec(ProgramRequest),
    /// `exec --keep`: the same, but the box stays; one that was made before is used as well.
    Keep(ProgramRequest),
    /// `shell BOX`: run a program as exec does, in a box that was made before and stays.
    Enter(ProgramRequest),
    /// `status`: look at all of them.
    Status(StatusRequest),
    /// `kill`: end the run in it.
    Kill,
    /// `gc`: remove those that nobody uses.
    Gc(GcRequest),
    /// `logs`: tell what the journal has of it, or of all.
    Logs(LogsRequest),
}

/// What differs between the two commands that run a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunKind {
    /// `--run`, for judges, who say exactly what they want.
    Run,
    /// `exec`, for people at a shell.
    Exec,
}

impl BoxCommand {
    /// Whether isolate has the command, and its words for what goes wrong.
    pub(crate) fn is_isolates(&self) -> bool {
        matches!(self, Self::Init(_) | Self::Run(_) | Self::Cleanup)
    }

    /// The program, if one is to be run.
    pub(crate) fn program(&self) -> Option<(RunKind, &ProgramRequest)> {
        match self {
            Self::Run(program) => Some((RunKind::Run, program)),
            Self::Exec(program) | Self::Keep(program) | Self::Enter(program) => {
                Some((RunKind::Exec, program))
            }
            _ => None,
        }
    }

    /// The rules for directories, `--dir`.
    pub(crate) fn dirs(&self) -> &[DirRequest] {
        self.program().map_or(&[], |(_, program)| &program.dirs)
    }

    /// How many rules for the environment there are, `--env`.
    pub(crate) fn env_rules(&self) -> usize {
        self.program().map_or(0, |(_, program)| program.env.len())
    }

    /// The disk quota, `--quota`.
    pub(crate) fn quota(&self) -> Option<DiskQuota> {
        match self {
            Self::Init(init) => init.quota,
            Self::Run(program)
            | Self::Exec(program)
            | Self::Keep(program)
            | Self::Enter(program) => program.quota,
            _ => None,
        }
    }
}

/// The options of every command about a box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Common {
    /// The box; `None` is box 0, or any free box for `exec`.
    pub(crate) box_id: Option<BoxChoice>,
    /// `--cg`: control-group mode.
    pub(crate) cg: bool,
    /// `--as-uid` and `--as-gid`.
    pub(crate) acts_for: Option<Ids>,
    /// `--wait`: wait for a busy box instead of refusing.
    pub(crate) wait: bool,
    /// How often `-v` was given.
    pub(crate) verbosity: u8,
    /// `--silent`: print nothing but internal errors.
    pub(crate) silent: bool,
    /// How `exec` says how it went.
    pub(crate) telling: Telling,
    /// `--color`: whether it has colors.
    pub(crate) coloring: Coloring,
    /// `--meta`.
    pub(crate) meta: Option<OutputTarget>,
    /// `--report`.
    pub(crate) report: Option<OutputTarget>,
    /// `--config`: this file instead of the installed configuration and its drop-ins.
    pub(crate) config: Option<PathBuf>,
    /// `--rootless`: not by the broker.
    pub(crate) rootless: bool,
}

/// The further options of `--init`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Init {
    /// `--quota`.
    pub(crate) quota: Option<DiskQuota>,
}

/// A program, and how it is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgramRequest {
    /// The program and its arguments.
    pub(crate) argv: Vec<OsString>,
    /// CPU time with `--cg` is that of all processes; not with `--no-cg-timing`.
    pub(crate) cg_timing: bool,
    /// Limits; the ones that are `None` are those of the configuration.
    pub(crate) limits: LimitRequest,
    /// `--quota`.
    pub(crate) quota: Option<DiskQuota>,
    /// `--dir`, in the order given.
    pub(crate) dirs: Vec<DirRequest>,
    /// `--no-default-dirs`.
    pub(crate) no_default_dirs: bool,
    /// `--full-env`: start from the caller's environment.
    pub(crate) full_env: bool,
    /// `--env`, in the order given.
    pub(crate) env: Vec<EnvRule>,
    /// `--stdin`.
    pub(crate) stdin: Option<PathBuf>,
    /// `--stdout`.
    pub(crate) stdout: Option<PathBuf>,
    /// `--stderr` and `--stderr-to-stdout`, of which the later one counts.
    pub(crate) stderr: StderrRequest,
    /// `--chdir`.
    pub(crate) chdir: Option<PathBuf>,
    /// `--share-net`.
    pub(crate) share_net: bool,
    /// `--inherit-fds`.
    pub(crate) inherit_fds: bool,
    /// `--tty-hack`.
    pub(crate) tty_hack: bool,
    /// `--special-files`.
    pub(crate) special_files: bool,
    /// `--syscalls`: the sum of isolate's flags.
    pub(crate) syscalls: Option<u32>,
}

/// Where the meta file or the report goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OutputTarget {
    /// `-`.
    Stdout,
    /// A file, opened as the caller and written in place.
    File(PathBuf),
}

/// Where the program's standard error goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StderrRequest {
    /// The caller's own.
    Inherit,
    /// A file inside the box.
    File(PathBuf),
    /// Wherever standard output goes.
    ToStdout,
}

/// One `--env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EnvRule {
    /// `VAR`: the caller's value; nothing when the caller has none.
    Inherit(OsString),
    /// `VAR=value`.
    Set(OsString, OsString),
    /// `VAR=`.
    Remove(OsString),
}
