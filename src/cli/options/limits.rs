//! What a run may use.

use std::time::Duration;

use clap::Args;

use super::value;
use crate::quantity::{self, Bytes};

/// Limits of one run.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Limits (0 is no limit, except for --core)")]
#[group(skip)]
pub(in crate::cli) struct LimitOptions {
    /// CPU time; a program that used more has failed [default: none]
    ///
    /// Of all processes of the run together, from the start of the program. It is watched by the
    /// kernel's exact count, and a program above the limit is killed at once.
    #[arg(short, long, value_name = "TIME", value_parser = value::text(quantity::parse_time))]
    pub(in crate::cli) time: Option<Duration>,
    /// CPU time before which it is not killed, to see how much it would use; not added to --time
    ///
    /// With --time 1 --extra-time 3, a program that uses 2 seconds ends by itself, has exceeded its
    /// limit, and the result says by how much.
    #[arg(short = 'x', long, value_name = "TIME", hide_short_help = true,
        value_parser = value::text(quantity::parse_time))]
    pub(in crate::cli) extra_time: Option<Duration>,
    /// Time on the clock, sleeping and waiting included [default: none]
    ///
    /// Without it, a program that waits for something that never comes waits for ever.
    #[arg(short, long, visible_alias = "wall", value_name = "TIME",
        value_parser = value::text(quantity::parse_time))]
    pub(in crate::cli) wall_time: Option<Duration>,
    /// Address space of each process; memory in use: --memory [default: none]
    ///
    /// What a process may reserve, used or not (RLIMIT_AS). Java, Go, Node and others reserve far
    /// more than they use, and do not start below some gigabytes: --memory is what they need.
    #[arg(short, long, value_name = "SIZE", hide_short_help = true, value_parser = value::text(Bytes::parse))]
    pub(in crate::cli) mem: Option<Bytes>,
    /// Stack of each process [default: none]
    #[arg(short = 'k', long, value_name = "SIZE", hide_short_help = true,
        value_parser = value::text(Bytes::parse))]
    pub(in crate::cli) stack: Option<Bytes>,
    /// Size of each file that is written [default: none]
    #[arg(short, long, value_name = "SIZE", hide_short_help = true,
        value_parser = value::text(Bytes::parse))]
    pub(in crate::cli) fsize: Option<Bytes>,
    /// Size of core files [default: 0]
    #[arg(long, value_name = "SIZE", hide_short_help = true, value_parser = value::text(Bytes::parse))]
    pub(in crate::cli) core: Option<Bytes>,
    /// Open files of each process [default: 1024]
    #[arg(short = 'n', long, value_name = "COUNT", hide_short_help = true,
        value_parser = value::text(quantity::parse_count))]
    pub(in crate::cli) open_files: Option<u32>,
    /// Processes and threads; bare: no limit [default: 1, for exec 256]
    ///
    /// The value is glued to the letter: -p4, not -p 4, in which 4 would be the program.
    #[arg(
        short, long, value_name = "COUNT", num_args = 0..=1, require_equals = true,
        default_missing_value = "0", value_parser = value::text(quantity::parse_count)
    )]
    pub(in crate::cli) processes: Option<u32>,
}

/// Control-group mode.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Control group")]
#[group(skip)]
pub(in crate::cli) struct CgroupOptions {
    /// Limit and measure all processes together; given with every command
    ///
    /// exec does so by itself wherever there are control groups.
    #[arg(long, hide_short_help = true)]
    pub(in crate::cli) cg: bool,
    /// Memory of all processes together, without swap [default: none]
    ///
    /// The memory that is in use, as the kernel counts it for the control group of the run, files
    /// that the program reads and writes included as far as they cannot be dropped. Needs --cg, but
    /// for exec.
    #[arg(long, visible_alias = "memory", value_name = "SIZE", value_parser = value::text(Bytes::parse))]
    pub(in crate::cli) cg_mem: Option<Bytes>,
    /// CPU time is that of all processes, as it always is (isolate 1.x)
    #[arg(
        long = "cg-timing",
        overrides_with = "no_cg_timing",
        hide_short_help = true
    )]
    _cg_timing: bool,
    /// CPU time is that of the main process and of those that were waited for, as without control
    /// groups (isolate 1.x)
    #[arg(long, overrides_with = "_cg_timing", hide_short_help = true)]
    pub(in crate::cli) no_cg_timing: bool,
}
