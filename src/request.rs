//! What the caller wants, as they said it: untrusted, nothing decided, nothing opened.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::dir_rule::DirRequest;
use crate::quantity::{BoxId, Bytes, DiskQuota};

/// Which box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BoxChoice {
    /// This one.
    Number(BoxId),
    /// Any that is free (`auto`).
    Auto,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Make a box.
    Init,
    /// Run a program in a box that was made before.
    Run,
    /// Remove a box.
    Cleanup,
    /// Take a free box, run, give the box back.
    Exec,
    /// Check the configuration and print the merged result.
    CheckConfig,
    /// Print the cgroup below which the runs live.
    PrintCgRoot,
    /// Print the version.
    Version,
}

/// What `config import` reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImportSource {
    /// `-`.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// How the broker is to serve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BrokerOptions {
    /// Where to listen, instead of on a socket that systemd hands over.
    pub(crate) socket: Option<PathBuf>,
    /// `--config` of everybody who is served.
    pub(crate) config: Option<PathBuf>,
}

/// One call of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// What to do.
    pub(crate) command: Command,
    /// The box; `None` is box 0, or any free box for [`Command::Exec`].
    pub(crate) box_id: Option<BoxChoice>,
    /// `--cg`: control-group mode.
    pub(crate) cg: bool,
    /// With `--cg`: CPU time is that of all processes; not with `--no-cg-timing`.
    pub(crate) cg_timing: bool,
    /// `--as-uid`.
    pub(crate) as_uid: Option<u32>,
    /// `--as-gid`.
    pub(crate) as_gid: Option<u32>,
    /// `--wait`: wait for a busy box instead of refusing.
    pub(crate) wait: bool,
    /// How often `-v` was given.
    pub(crate) verbosity: u8,
    /// `--silent`: print nothing but internal errors.
    pub(crate) silent: bool,
    /// `--meta`.
    pub(crate) meta: Option<OutputTarget>,
    /// `--report`.
    pub(crate) report: Option<OutputTarget>,
    /// `--config`: this file instead of the installed configuration and its drop-ins.
    pub(crate) config: Option<PathBuf>,
    /// Limits; `None` is the configured default.
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
    /// `--stderr` and `--stderr-to-stdout`; the later one won.
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
    /// The program and its arguments.
    pub(crate) program: Vec<OsString>,
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

/// Limits as asked for. `None`: the configured default; zero: no limit, as in isolate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LimitRequest {
    /// `--time`, CPU time.
    pub(crate) time: Option<Duration>,
    /// `--extra-time`, an absolute CPU time too.
    pub(crate) extra_time: Option<Duration>,
    /// `--wall-time`.
    pub(crate) wall_time: Option<Duration>,
    /// `--mem`: `RLIMIT_AS` of each process.
    pub(crate) address_space: Option<Bytes>,
    /// `--cg-mem`: `memory.max` of the run.
    pub(crate) cg_mem: Option<Bytes>,
    /// `--stack`.
    pub(crate) stack: Option<Bytes>,
    /// `--fsize`.
    pub(crate) file_size: Option<Bytes>,
    /// `--core`.
    pub(crate) core: Option<Bytes>,
    /// `--open-files`.
    pub(crate) open_files: Option<u32>,
    /// `--processes`; without a value 0, which means no limit.
    pub(crate) processes: Option<u32>,
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
