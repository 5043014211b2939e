//! What the program reads and writes, and what it sees.

use std::path::PathBuf;

use clap::Args;

use super::value;
use crate::dir_rule::DirRequest;
use crate::request::EnvRule;

/// Redirections, the working directory and what is visible.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Files and directories (names as the program sees them)")]
#[group(skip)]
pub(in crate::cli) struct FileOptions {
    /// Read standard input from FILE
    ///
    /// It is opened inside, as the program's user: for a file out here, use the shell (< FILE).
    #[arg(short = 'i', long, value_name = "FILE", hide_short_help = true,
        value_parser = value::word(value::path))]
    pub(in crate::cli) stdin: Option<PathBuf>,
    /// Write standard output to FILE
    ///
    /// It is made inside, as the program's user: for a file out here, use the shell (> FILE).
    #[arg(short = 'o', long, value_name = "FILE", hide_short_help = true,
        value_parser = value::word(value::path))]
    pub(in crate::cli) stdout: Option<PathBuf>,
    /// Write standard error to FILE
    #[arg(
        short = 'r', long, value_name = "FILE", value_parser = value::word(value::path),
        overrides_with = "stderr_to_stdout", hide_short_help = true
    )]
    pub(in crate::cli) stderr: Option<PathBuf>,
    /// Write standard error to where standard output goes
    #[arg(long, overrides_with = "stderr", hide_short_help = true)]
    pub(in crate::cli) stderr_to_stdout: bool,
    /// Start in DIR, seen from /box [default: /box]
    #[arg(short, long, visible_alias = "workdir", value_name = "DIR", value_parser = value::word(value::path))]
    pub(in crate::cli) chdir: Option<PathBuf>,
    /// Show a directory inside: DIR, or IN=OUT: OUT as IN
    ///
    /// IN= takes a rule away. Options follow, each after a colon: rw (writable), dev (device files
    /// work), noexec, maybe (if it exists), norec (without what is mounted below), fs (OUT is a
    /// file system: proc, sysfs, tmpfs, devpts, dev, etc or cgroup), size=SIZE (of a tmpfs), tmp
    /// (an empty directory of the box).
    ///
    /// OUT is absolute, or begins with ./ for a place in the box's directory. Without rw, nothing
    /// in there can be changed; with it, by the permissions of the files, and the program is
    /// another user than you.
    #[arg(short, long = "dir", value_name = "RULE", value_parser = value::word(value::dir_rule))]
    pub(in crate::cli) dirs: Vec<DirRequest>,
    /// What /etc is: minimal (names, where libraries are), host or none
    ///
    /// Default: none, for exec minimal. A rule for it by --dir comes after.
    #[arg(long, value_name = "KIND", hide_short_help = true, value_parser = value::word(value::etc))]
    pub(in crate::cli) etc: Option<DirRequest>,
    /// Begin without the default rules
    #[arg(short = 'D', long, hide_short_help = true)]
    pub(in crate::cli) no_default_dirs: bool,
    /// Keep links, devices, pipes and sockets in the box; otherwise removed before and after a run
    #[arg(long, hide_short_help = true)]
    pub(in crate::cli) special_files: bool,
}

/// The program's environment.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Environment (empty by default; PATH and HOME with exec)")]
#[group(skip)]
pub(in crate::cli) struct EnvironmentOptions {
    /// VAR: as it is here; VAR=VALUE: set; VAR=: removed
    ///
    /// Rules apply in order.
    #[arg(short = 'E', long, value_name = "RULE", value_parser = value::word(value::env_rule))]
    pub(in crate::cli) env: Vec<EnvRule>,
    /// Begin with the environment as it is here
    #[arg(short = 'e', long, hide_short_help = true)]
    pub(in crate::cli) full_env: bool,
}
