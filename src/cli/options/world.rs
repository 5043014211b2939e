//! What the program keeps of the outside world, and what is said about its run.

use clap::{ArgAction, Args};

use super::value;
use crate::quantity;
use crate::request::OutputTarget;

/// What of the outside world the program keeps.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Program's world")]
#[group(skip)]
pub(in crate::cli) struct WorldOptions {
    /// Keep the network; otherwise there is only loopback
    ///
    /// Users other than root need a polkit action of its own for it: share-network.
    #[arg(long, visible_alias = "network")]
    pub(in crate::cli) share_net: bool,
    /// Keep open files besides standard input, output and error
    #[arg(long, hide_short_help = true)]
    pub(in crate::cli) inherit_fds: bool,
    /// Let the program use the terminal it was started from
    ///
    /// For programs with a screen, and for shells: signals of the keyboard, sizes, job control.
    #[arg(long, hide_short_help = true)]
    pub(in crate::cli) tty_hack: bool,
    /// System calls to deny, a sum [default: all, 31]
    ///
    /// 1 keyctl, 2 AF_VSOCK sockets, 4 file locks, 8 io_uring, 16 foreign architectures. What else
    /// the key deny of the table syscalls in isolate.toml names stays denied. File locks are needed
    /// by go build, cargo build and sqlite3: --syscalls=27.
    #[arg(long, value_name = "FLAGS", hide_short_help = true, value_parser = value::text(quantity::parse_count))]
    pub(in crate::cli) syscalls: Option<u32>,
}

/// What is said about a run.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
#[group(skip)]
pub(in crate::cli) struct OutputOptions {
    /// Write the result of the run to FILE as key:value lines; - is standard output
    #[arg(short = 'M', long, value_name = "FILE", hide_short_help = true,
        value_parser = value::word(value::output))]
    pub(in crate::cli) meta: Option<OutputTarget>,
    /// Write all that is known of the run to FILE as JSON; - is standard output
    ///
    /// Standard output is also the program's: /dev/fd/3 with 3>FILE is a way to keep them apart in
    /// a script.
    #[arg(long, value_name = "FILE", hide_short_help = true, value_parser = value::word(value::output))]
    pub(in crate::cli) report: Option<OutputTarget>,
    /// Say more; more than once for even more
    #[arg(short, long, action = ArgAction::Count)]
    pub(in crate::cli) verbose: u8,
    /// Say nothing but internal errors
    #[arg(short, long, visible_alias = "quiet")]
    pub(in crate::cli) silent: bool,
    /// Print this help
    ///
    /// -h is a short one, --help is about everything.
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}
