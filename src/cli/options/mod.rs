//! The options that commands about a box share, described for clap: names, types, help. The doc
//! comments are the text of help and manual: the first paragraph that of `-h`, all of them that of
//! `--help`. What `-h` does not tell has `hide_short_help`.
//!
//! `getopt` reads names and letters from the command that clap derives, but for lines that run
//! programs: see [`direct`](super::direct).

use std::ffi::OsString;

use clap::Args;

use super::value;
use super::verb::Mistake;
use crate::quantity::Ids;
use crate::request::{Common, LimitRequest, ProgramRequest, StderrRequest, Telling};
use crate::screen::Coloring;
use boxes::BoxOptions;
use files::{EnvironmentOptions, FileOptions};
use limits::{CgroupOptions, LimitOptions};
pub(super) use solution::{SolutionOptions, words};
use world::{OutputOptions, WorldOptions};

mod boxes;
pub(super) mod exec;
mod files;
mod limits;
mod solution;
mod world;

/// The options that both spellings of the command line have.
#[derive(Debug, Default, Args)]
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
            telling: Telling::Words,
            coloring: Coloring::Auto,
            meta: output.meta,
            report: output.report,
            config: box_options.config,
            rootless: box_options.rootless,
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
