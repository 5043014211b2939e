//! The options that commands about a box share, described for clap: names, types, help. The doc
//! comments are the text of `--help`.
//!
//! The name and the letter of an option stand only here; `getopt` reads them from the command that
//! clap derives.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::value;
use super::verb::Mistake;
use crate::dir_rule::DirRequest;
use crate::quantity::{self, Bytes, DiskQuota, Ids};
use crate::request::{
    BoxChoice, Common, EnvRule, LimitRequest, OutputTarget, ProgramRequest, StderrRequest,
};

/// The options that both spellings of the command line have.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) box_options: BoxOptions,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
    #[command(flatten)]
    pub(super) cgroup: CgroupOptions,
    #[command(flatten)]
    pub(super) files: FileOptions,
    #[command(flatten)]
    pub(super) environment: EnvironmentOptions,
    #[command(flatten)]
    pub(super) world: WorldOptions,
    #[command(flatten)]
    pub(super) output: OutputOptions,
}

impl Options {
    /// Joins what was read: the options of every command, and how a program is run.
    pub(super) fn join(self, argv: Vec<OsString>) -> Result<(Common, ProgramRequest), Mistake> {
        let Self {
            box_options,
            limits,
            cgroup,
            files,
            environment,
            world,
            output,
        } = self;
        let acts_for = match (box_options.as_uid, box_options.as_gid) {
            (None, None) => None,
            (Some(uid), Some(gid)) => Some(Ids { uid, gid }),
            _ => {
                return Err("--as-uid and --as-gid must be used either both or none"
                    .to_owned()
                    .into());
            }
        };
        let common = Common {
            box_id: box_options.box_id,
            cg: cgroup.cg,
            acts_for,
            wait: box_options.wait,
            verbosity: output.verbose,
            silent: output.silent,
            meta: output.meta,
            report: output.report,
            config: box_options.config,
        };
        let program = ProgramRequest {
            argv,
            cg_timing: !cgroup.no_cg_timing,
            limits: LimitRequest {
                time: limits.time,
                extra_time: limits.extra_time,
                wall_time: limits.wall_time,
                address_space: limits.mem,
                cg_mem: cgroup.cg_mem,
                stack: limits.stack,
                file_size: limits.fsize,
                core: limits.core,
                open_files: limits.open_files,
                processes: limits.processes,
            },
            // A quota without blocks is none, as in isolate.
            quota: box_options.quota.filter(|quota| quota.blocks > 0),
            dirs: files.etc.into_iter().chain(files.dirs).collect(),
            no_default_dirs: files.no_default_dirs,
            full_env: environment.full_env,
            env: environment.env,
            stdin: files.stdin,
            stdout: files.stdout,
            stderr: match (files.stderr, files.stderr_to_stdout) {
                (Some(file), _) => StderrRequest::File(file),
                (None, true) => StderrRequest::ToStdout,
                (None, false) => StderrRequest::Inherit,
            },
            chdir: files.chdir,
            share_net: world.share_net,
            inherit_fds: world.inherit_fds,
            tty_hack: world.tty_hack,
            special_files: files.special_files,
            syscalls: world.syscalls,
        };
        Ok((common, program))
    }
}

/// Which box, and for whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "Box")]
#[group(skip)]
pub(super) struct BoxOptions {
    /// Number of the box [default: 0; with exec any free box]
    #[arg(short, long, value_name = "ID", value_parser = value::text(value::box_choice))]
    pub(super) box_id: Option<BoxChoice>,
    /// Wait for a busy box instead of refusing
    #[arg(long)]
    pub(super) wait: bool,
    /// What the box may hold on disk: KiB, number of files
    #[arg(short, long, value_name = "BLOCKS,FILES", value_parser = value::text(DiskQuota::parse))]
    pub(super) quota: Option<DiskQuota>,
    /// Act for the user with this id; root only, together with --as-gid
    #[arg(long, value_name = "UID", value_parser = value::text(quantity::parse_count))]
    pub(super) as_uid: Option<u32>,
    /// Act for the group with this id; root only, together with --as-uid
    #[arg(long, value_name = "GID", value_parser = value::text(quantity::parse_count))]
    pub(super) as_gid: Option<u32>,
    /// Read this file instead of the installed configuration
    #[arg(long, value_name = "FILE", value_parser = value::word(value::path))]
    pub(super) config: Option<PathBuf>,
}

/// Limits of one run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits (0 is no limit, except for --core)")]
#[group(skip)]
pub(super) struct LimitOptions {
    /// CPU time; a program that used more has failed [default: none]
    #[arg(short, long, value_name = "TIME", value_parser = value::text(quantity::parse_time))]
    pub(super) time: Option<Duration>,
    /// CPU time before which it is not killed, to see how much it would use; not added to --time
    #[arg(short = 'x', long, value_name = "TIME", value_parser = value::text(quantity::parse_time))]
    pub(super) extra_time: Option<Duration>,
    /// Time on the clock, sleeping and waiting included [default: none]
    #[arg(short, long, value_name = "TIME", value_parser = value::text(quantity::parse_time))]
    pub(super) wall_time: Option<Duration>,
    /// Address space of each process; memory in use: --cg-mem [default: none]
    #[arg(short, long, value_name = "SIZE", value_parser = value::text(Bytes::parse))]
    pub(super) mem: Option<Bytes>,
    /// Stack of each process [default: none]
    #[arg(short = 'k', long, value_name = "SIZE", value_parser = value::text(Bytes::parse))]
    pub(super) stack: Option<Bytes>,
    /// Size of each file that is written [default: none]
    #[arg(short, long, value_name = "SIZE", value_parser = value::text(Bytes::parse))]
    pub(super) fsize: Option<Bytes>,
    /// Size of core files [default: 0]
    #[arg(long, value_name = "SIZE", value_parser = value::text(Bytes::parse))]
    pub(super) core: Option<Bytes>,
    /// Open files of each process [default: 1024]
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = value::text(quantity::parse_count))]
    pub(super) open_files: Option<u32>,
    /// Processes and threads; bare: no limit (-p4, not -p 4) [default: 1, for exec 256]
    #[arg(
        short, long, value_name = "COUNT", num_args = 0..=1, require_equals = true,
        default_missing_value = "0", value_parser = value::text(quantity::parse_count)
    )]
    pub(super) processes: Option<u32>,
}

/// Control-group mode.
#[derive(Debug, Args)]
#[command(next_help_heading = "Control group")]
#[group(skip)]
pub(super) struct CgroupOptions {
    /// Limit and measure all processes together; given with every command
    #[arg(long)]
    pub(super) cg: bool,
    /// Memory of all processes together, without swap [default: none]
    #[arg(long, value_name = "SIZE", value_parser = value::text(Bytes::parse))]
    pub(super) cg_mem: Option<Bytes>,
    /// CPU time is that of all processes, as it always is (isolate 1.x)
    #[arg(long = "cg-timing", overrides_with = "no_cg_timing")]
    _cg_timing: bool,
    /// CPU time is that of the main process and of those that were waited for, as without control
    /// groups (isolate 1.x)
    #[arg(long, overrides_with = "_cg_timing")]
    pub(super) no_cg_timing: bool,
}

/// Redirections, the working directory and what is visible.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files and directories (names as the program sees them)")]
#[group(skip)]
pub(super) struct FileOptions {
    /// Read standard input from FILE
    #[arg(short = 'i', long, value_name = "FILE", value_parser = value::word(value::path))]
    pub(super) stdin: Option<PathBuf>,
    /// Write standard output to FILE
    #[arg(short = 'o', long, value_name = "FILE", value_parser = value::word(value::path))]
    pub(super) stdout: Option<PathBuf>,
    /// Write standard error to FILE
    #[arg(
        short = 'r', long, value_name = "FILE", value_parser = value::word(value::path),
        overrides_with = "stderr_to_stdout"
    )]
    pub(super) stderr: Option<PathBuf>,
    /// Write standard error to where standard output goes
    #[arg(long, overrides_with = "stderr")]
    pub(super) stderr_to_stdout: bool,
    /// Start in DIR, seen from /box [default: /box]
    #[arg(short, long, value_name = "DIR", value_parser = value::word(value::path))]
    pub(super) chdir: Option<PathBuf>,
    /// Show a directory inside: DIR, or IN=OUT to show OUT as IN; IN= takes a rule away. Options
    /// follow, each after a colon: rw, dev, noexec, maybe (if it exists), norec (without what is
    /// mounted below), fs (OUT is proc, sysfs, tmpfs, devpts, dev, etc or cgroup), size=SIZE (of a
    /// tmpfs), tmp (an empty one)
    #[arg(short, long = "dir", value_name = "RULE", value_parser = value::word(value::dir_rule))]
    pub(super) dirs: Vec<DirRequest>,
    /// What /etc is: minimal (names, where libraries are), host or none; a rule for it by --dir
    /// comes after [default: none, for exec minimal]
    #[arg(long, value_name = "KIND", value_parser = value::word(value::etc))]
    pub(super) etc: Option<DirRequest>,
    /// Begin without the default rules
    #[arg(short = 'D', long)]
    pub(super) no_default_dirs: bool,
    /// Keep links, devices, pipes and sockets in the box; otherwise removed before and after a run
    #[arg(long)]
    pub(super) special_files: bool,
}

/// The program's environment.
#[derive(Debug, Args)]
#[command(next_help_heading = "Environment (empty by default)")]
#[group(skip)]
pub(super) struct EnvironmentOptions {
    /// VAR: as it is here; VAR=VALUE: set; VAR=: removed. Rules apply in order
    #[arg(short = 'E', long, value_name = "RULE", value_parser = value::word(value::env_rule))]
    pub(super) env: Vec<EnvRule>,
    /// Begin with the environment as it is here
    #[arg(short = 'e', long)]
    pub(super) full_env: bool,
}

/// What of the outside world the program keeps.
#[derive(Debug, Args)]
#[command(next_help_heading = "Program's world")]
#[group(skip)]
pub(super) struct WorldOptions {
    /// Keep the network; otherwise there is only a loopback device of its own
    #[arg(long)]
    pub(super) share_net: bool,
    /// Keep open files besides standard input, output and error
    #[arg(long)]
    pub(super) inherit_fds: bool,
    /// Let the program use the terminal it was started from
    #[arg(long)]
    pub(super) tty_hack: bool,
    /// System calls to deny, a sum: 1 keyctl, 2 AF_VSOCK sockets, 4 file locks, 8 io_uring,
    /// 16 foreign architectures [default: all]; what else [syscalls] deny names stays denied
    #[allow(
        rustdoc::broken_intra_doc_links,
        reason = "a table of isolate.toml, in the text of --help"
    )]
    #[arg(long, value_name = "FLAGS", value_parser = value::text(quantity::parse_count))]
    pub(super) syscalls: Option<u32>,
}

/// What is said about a run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
#[group(skip)]
pub(super) struct OutputOptions {
    /// Write the result of the run to FILE as key:value lines; - is standard output
    #[arg(short = 'M', long, value_name = "FILE", value_parser = value::word(value::output))]
    pub(super) meta: Option<OutputTarget>,
    /// Write all that is known of the run to FILE as JSON; - is standard output
    #[arg(long, value_name = "FILE", value_parser = value::word(value::output))]
    pub(super) report: Option<OutputTarget>,
    /// Say more; more than once for even more
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Say nothing but internal errors
    #[arg(short, long)]
    pub(super) silent: bool,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}
