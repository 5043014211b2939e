//! How the programs of `test` and `pair` are run.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::limits::LimitOptions;
use super::value;
use crate::cli::rootless;
use crate::cli::verb::Mistake;
use crate::dir_rule::DirRequest;
use crate::quantity::Bytes;
use crate::request::{LimitRequest, Solution};

/// The options of verbs that run programs of this machine in boxes.
#[derive(Debug, Args)]
#[group(skip)]
pub(in crate::cli) struct SolutionOptions {
    #[command(flatten)]
    pub(in crate::cli) limits: LimitOptions,
    /// Memory of all processes together, without swap [default: none]
    #[arg(long, visible_alias = "memory", value_name = "SIZE", value_parser = value::text(Bytes::parse))]
    pub(in crate::cli) cg_mem: Option<Bytes>,
    #[command(flatten)]
    pub(in crate::cli) files: SolutionFiles,
}

/// What they find, and how much is told.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files and output")]
#[group(skip)]
pub(in crate::cli) struct SolutionFiles {
    /// Copy this file into the box, too
    #[arg(long = "file", value_name = "FILE", value_parser = value::word(value::path))]
    pub(in crate::cli) files: Vec<PathBuf>,
    /// Show a directory inside, as for exec
    #[arg(short, long = "dir", value_name = "RULE", value_parser = value::word(checked_rule))]
    pub(in crate::cli) dirs: Vec<String>,
    /// VAR=VALUE: a variable for the program
    #[arg(short = 'E', long, value_name = "RULE")]
    pub(in crate::cli) env: Vec<String>,
    #[arg(long, help = rootless::HELP, long_help = rootless::LONG_HELP, hide_short_help = true)]
    pub(in crate::cli) rootless: bool,
    /// Read this configuration instead of the installed one; root only
    #[arg(long, value_name = "FILE", hide_short_help = true, value_parser = value::word(value::path))]
    pub(in crate::cli) config: Option<PathBuf>,
    /// Say more; more than once for even more
    #[arg(short, long, hide_short_help = true, action = ArgAction::Count)]
    pub(in crate::cli) verbose: u8,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

/// A rule of `--dir`, which stays text.
fn checked_rule(word: &std::ffi::OsStr) -> Result<String, String> {
    DirRequest::parse(word).map_err(|error| error.to_string())?;
    let text = word.to_str().map(str::to_owned);
    text.ok_or_else(|| "the rule is not UTF-8".to_owned())
}

impl SolutionOptions {
    /// Joins what was read.
    pub(in crate::cli) fn join(self) -> Result<Solution, Mistake> {
        let Self {
            limits,
            cg_mem,
            files,
        } = self;
        let env = files
            .env
            .into_iter()
            .map(|rule| match rule.split_once('=') {
                Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
                _ => Err(Mistake::Usage(format!("--env: '{rule}' is not VAR=VALUE"))),
            });
        Ok(Solution {
            limits: LimitRequest {
                time: limits.time,
                extra_time: limits.extra_time,
                wall_time: limits.wall_time,
                address_space: limits.mem,
                cg_mem,
                stack: limits.stack,
                file_size: limits.fsize,
                core: limits.core,
                open_files: limits.open_files,
                processes: limits.processes,
            },
            files: files.files,
            dirs: files.dirs,
            env: env.collect::<Result<_, _>>()?,
            config: files.config,
            rootless: files.rootless,
            verbosity: files.verbose,
        })
    }
}

/// The words of a program, which are text in a job.
pub(in crate::cli) fn words(
    program: impl IntoIterator<Item = std::ffi::OsString>,
) -> Result<Vec<String>, Mistake> {
    let words = program.into_iter().map(|word| {
        word.into_string()
            .map_err(|word| Mistake::Usage(format!("'{}' is not UTF-8", word.to_string_lossy())))
    });
    words.collect()
}
