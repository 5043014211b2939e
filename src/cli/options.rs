//! Every option, described for clap: names, types, help. The doc comments are the text of `--help`.
//!
//! The name and the letter of an option stand here and nowhere else; `getopt` reads them from the
//! command that clap derives. What options mean together is for `cli` to say.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser};

use super::value;
use crate::dir_rule::DirRequest;
use crate::quantity::{self, Bytes, DiskQuota};
use crate::request::{BoxChoice, EnvRule, OutputTarget};

/// The command line as isolate takes it.
#[derive(Debug, Parser)]
#[command(
    name = "isolate-run",
    about = "Runs an untrusted program in a sandbox: limited, measured, and gone when its run ends.",
    override_usage = "isolate-run [OPTIONS] --init
       isolate-run [OPTIONS] --run -- PROGRAM [ARGUMENT]...
       isolate-run [OPTIONS] --cleanup
       isolate-run exec [OPTIONS] PROGRAM [ARGUMENT]...   (all three in one; see exec --help)
       isolate-run config import FILE                     (see config --help)

A SIZE is in KiB when bare, or has a unit: 512K, 64M, 1.5G. A TIME is in seconds when bare, or has
a unit: 1.5s, 200ms, 2min. Of a repeated option the last one counts. Defaults of limits and the
default directory rules may be configured otherwise.",
    after_help = "Examples:
  isolate-run --cg --init                          make box 0; prints its path, files go to PATH/box
  isolate-run --cg -t1 -w5 --cg-mem=256M -M meta --run -- ./solution
  isolate-run --cg --cleanup                       remove it
  isolate-run exec -t 1 -p -d /etc -- /usr/bin/gcc --version

Exit status of --run: 0 the program exited with 0; 1 it failed, was killed or ran out of time;
2 it could not be run, or the command line is wrong.",
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true,
    term_width = 100
)]
pub(super) struct IsolateLine {
    #[command(flatten)]
    pub(super) commands: CommandFlags,
    #[command(flatten)]
    pub(super) options: Options,
}

/// The options of `exec`.
#[derive(Debug, Parser)]
#[command(
    name = "isolate-run exec",
    about = "Takes a free box, runs a program in it, and gives the box back.",
    override_usage = "isolate-run exec [OPTIONS] [--] PROGRAM [ARGUMENT]...

The first word that is no option is the program; what follows it is the program's own. A SIZE is in
KiB when bare, or has a unit: 512K, 64M, 1.5G. A TIME is in seconds when bare, or has a unit: 1.5s,
200ms, 2min. Of a repeated option the last one counts. Defaults of limits and the default directory
rules may be configured otherwise.",
    after_help = "Examples:
  isolate-run exec /bin/ls -l /
  isolate-run exec -t 1 -w 5s --cg --cg-mem 256M /usr/bin/sort -n < numbers
  isolate-run exec -p -e -d src=/home/me/src -c /src -- /usr/bin/python3 check.py",
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true,
    term_width = 100
)]
pub(super) struct ExecLine {
    #[command(flatten)]
    pub(super) options: Options,
}

/// The options of `config`.
#[derive(Debug, Parser)]
#[command(
    name = "isolate-run config",
    about = "Writes what a configuration file of isolate says (key = value) as TOML to standard output.",
    override_usage = "isolate-run config import FILE

A FILE of - is standard input. Comments in the result say which line a value is from, and what was
left out and why.

Without any TOML file, isolate's /etc/isolate or else /usr/local/etc/isolate is read as it is.",
    after_help = "Example:
  isolate-run config import /etc/isolate > isolate.toml
  isolate-run --config isolate.toml --check-config",
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true,
    term_width = 100
)]
pub(super) struct ConfigLine {
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

/// The options of `broker`.
#[derive(Debug, Parser)]
#[command(
    name = "isolate-run broker",
    about = "Serves users who are not root: carries their commands out if polkit allows it. isolate.service runs this.",
    override_usage = "isolate-run broker [options]

Without --socket, the listening socket is the one that systemd hands over (isolate.socket).",
    after_help = "Example, for a trial:
  isolate-run broker --socket /run/trial.sock
  ISOLATE_RUN_BROKER=/run/trial.sock isolate-run exec /bin/echo hello",
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true,
    term_width = 100
)]
pub(super) struct BrokerLine {
    /// Listen on this socket, which is made; everybody may connect to it
    #[arg(long, value_name = "FILE")]
    pub(super) socket: Option<PathBuf>,
    /// Use this configuration file instead of the installed one and its drop-ins
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

/// isolate's commands, which look like options.
#[derive(Debug, Args)]
#[command(next_help_heading = "Commands (exactly one)")]
#[group(skip)]
pub(super) struct CommandFlags {
    /// Make the box, or make it anew, and print its path
    #[arg(long)]
    pub(super) init: bool,
    /// Run a program in the box
    #[arg(long)]
    pub(super) run: bool,
    /// Remove the box; no error when there is none
    #[arg(long)]
    pub(super) cleanup: bool,
    /// Check the configuration and print the merged result
    #[arg(long)]
    pub(super) check_config: bool,
    /// Print the cgroup below which the runs live
    #[arg(long)]
    pub(super) print_cg_root: bool,
    /// Print the version
    #[arg(long)]
    pub(super) version: bool,
}

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
    /// CPU time is that of the main process and of those that were waited for, as without control groups (isolate 1.x)
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
    /// Show a directory inside: DIR, or IN=OUT to show OUT as IN; IN= takes a rule away.
    /// Options follow, each after a colon: rw, dev, noexec, maybe (if it exists), norec (without what
    /// is mounted below), fs (OUT is proc, sysfs, tmpfs, devpts or dev), tmp (an empty one)
    #[arg(short, long = "dir", value_name = "RULE", value_parser = value::word(value::dir_rule))]
    pub(super) dirs: Vec<DirRequest>,
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
    /// 16 foreign architectures [default: all]
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
