//! `broker`: serves those who are not root.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::page::{Chapter, Page};
use super::read;
use super::verb::{Mistake, Verb};
use crate::request::BrokerOptions;

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "broker",
    chapter: Chapter::Hidden,
    page: Page {
        about: "Serve users who are not root: carry their commands out if polkit allows it",
        usage: &["[--socket FILE] [--config FILE]"],
        description: "isolate.service runs this. Without --socket, the listening socket is the one that systemd hands \
            over (isolate.socket).\n\
            The environment variable ISOLATE_RUN_BROKER tells callers of another socket.",
        examples: &[(
            "broker --socket /run/trial.sock",
            "for a trial; then: ISOLATE_RUN_BROKER=/run/trial.sock isolate-run exec /bin/echo hello",
        )],
        ..Page::EMPTY
    },
    command: BrokerLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

/// The options of `broker`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
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

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, words) = read::<BrokerLine>(argv, VERB.operands)?;
    VERB.refuse_operands(&words)?;
    Ok(Call::Serve(BrokerOptions {
        socket: line.socket,
        config: line.config,
    }))
}
