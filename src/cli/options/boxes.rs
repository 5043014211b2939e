//! Which box, and for whom.

use std::path::PathBuf;

use clap::Args;

use super::value;
use crate::cli::rootless;
use crate::quantity::{self, DiskQuota};
use crate::request::BoxChoice;

/// Which box, and for whom.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Box")]
#[group(skip)]
pub(in crate::cli) struct BoxOptions {
    /// Number of the box [default: 0; with exec any free box]
    ///
    /// From 0 to 2147483647. With --init and exec, auto is any free box; the last part of the path
    /// that --init prints is its number.
    #[arg(short, long, value_name = "ID", hide_short_help = true,
        value_parser = value::text(value::box_choice))]
    pub(in crate::cli) box_id: Option<BoxChoice>,
    /// Wait for a busy box instead of refusing
    ///
    /// Where runs lease CPUs (cpus.lease in isolate.toml), also for those.
    #[arg(long, hide_short_help = true)]
    pub(in crate::cli) wait: bool,
    /// What the box may hold on disk: KiB, number of files
    #[arg(short, long, value_name = "BLOCKS,FILES", hide_short_help = true,
        value_parser = value::text(DiskQuota::parse))]
    pub(in crate::cli) quota: Option<DiskQuota>,
    /// Act for the user with this id; root only, together with --as-gid
    ///
    /// The rights of that user, without supplementary groups, count for every file that is named,
    /// but for --config.
    #[arg(long, value_name = "UID", hide_short_help = true, value_parser = value::text(quantity::parse_count))]
    pub(in crate::cli) as_uid: Option<u32>,
    /// Act for the group with this id; root only, together with --as-uid
    #[arg(long, value_name = "GID", hide_short_help = true, value_parser = value::text(quantity::parse_count))]
    pub(in crate::cli) as_gid: Option<u32>,
    #[arg(long, help = rootless::HELP, long_help = rootless::LONG_HELP, hide_short_help = true)]
    pub(in crate::cli) rootless: bool,
    /// Read this file instead of the installed configuration; root only
    #[arg(long, value_name = "FILE", hide_short_help = true, value_parser = value::word(value::path))]
    pub(in crate::cli) config: Option<PathBuf>,
}
