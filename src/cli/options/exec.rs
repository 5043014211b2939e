//! What only `exec` has.

use clap::Args;

use super::value;
use crate::quantity;
use crate::request::Copied;
use crate::screen::Coloring;

/// What is done around the run.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Before and after the run")]
#[group(skip)]
pub(in crate::cli) struct AroundOptions {
    /// Copy a file or directory into the box before
    ///
    /// The program finds it as /box/NAME. NAME=FILE gives it another name inside. May be given more
    /// than once. The program may change its copy; yours stays as it is. Symbolic links in a
    /// directory are refused.
    #[arg(long = "in", value_name = "FILE", value_parser = value::word(value::brought))]
    pub(in crate::cli) bring: Vec<Copied>,
    /// Copy a file out of the box afterwards
    ///
    /// NAME=FILE puts the file /box/NAME into FILE. May be given more than once. Only regular files
    /// are copied, of at most 1 GiB.
    #[arg(long = "out", value_name = "FILE", value_parser = value::word(value::fetched))]
    pub(in crate::cli) fetch: Vec<Copied>,
    /// Run it N times, and compare the figures
    ///
    /// Each run has a fresh box. Says minimum, median, maximum and standard deviation of CPU time,
    /// wall time and memory. What the program prints is shown for the first run alone; standard
    /// input is the same for all. The first run that is not well ends it, with that run's exit
    /// code.
    #[arg(long, value_name = "N", value_parser = value::text(quantity::parse_count))]
    pub(in crate::cli) repeat: Option<u32>,
    /// Keep the box, and say which it is
    ///
    /// It is as one that --init made: isolate-run shell goes in, --box-id with exec --keep runs
    /// another program in it, --cleanup removes it.
    #[arg(long)]
    pub(in crate::cli) keep: bool,
}

/// How it is said how the program ended.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
#[group(skip)]
pub(in crate::cli) struct TellingOptions {
    /// Say how it ended as JSON
    ///
    /// On standard error, in the place of the line for people, in the form of --report.
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Colors: auto (on a terminal, without NO_COLOR), always, never
    #[arg(long, value_name = "WHEN", hide_short_help = true, value_parser = value::word(value::coloring))]
    pub(in crate::cli) color: Option<Coloring>,
}
