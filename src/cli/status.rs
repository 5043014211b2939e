//! `status`: which boxes there are, and what runs in them.

use std::ffi::OsString;
use std::time::Duration;

use clap::{ArgAction, CommandFactory, Parser};

use super::getopt::Operands;
use super::looking::LookOptions;
use super::page::{Chapter, Page};
use super::verb::{Mistake, Verb};
use super::{Call, read, value};
use crate::quantity;
use crate::request::{BoxCommand, StatusForm, StatusRequest, Whose};

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "status",
    chapter: Chapter::Boxes,
    page: Page {
        about: "Show which boxes there are, and what runs in them",
        usage: &["[OPTIONS]..."],
        description: "Tells of each box whose it is and how large, and of a run its program, CPU time, memory and \
            number of processes, beside the limits that hold for all of it.\n\
            Root sees all boxes. Others see their own, and all where polkit allows it \
            (io.github.isolate_run.see-boxes). Looking disturbs no run.",
        examples: &[
            ("status --watch", "look on, live"),
            (
                "status --json | jq '.boxes[] | select(.state == \"running\") | .box'",
                "the boxes with a run",
            ),
        ],
        ..Page::EMPTY
    },
    command: StatusLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

/// The options of `status`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
pub(super) struct StatusLine {
    /// All boxes, also if somebody has to give a password for that
    #[arg(long, overrides_with = "mine")]
    all: bool,
    /// One's own boxes alone
    #[arg(long, overrides_with = "all")]
    mine: bool,
    /// For programs: docs/status.schema.json describes it
    #[arg(long)]
    json: bool,
    /// For monitoring: OpenMetrics, as Prometheus reads it
    #[arg(long)]
    prometheus: bool,
    /// Look again and again, every second or every TIME, until q or Ctrl-C
    #[arg(
        long, value_name = "TIME", num_args = 0..=1, require_equals = true,
        default_missing_value = "1", value_parser = value::text(quantity::parse_time)
    )]
    watch: Option<Duration>,
    #[command(flatten)]
    look: LookOptions,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(100);

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, words) = read::<StatusLine>(argv, VERB.operands)?;
    if let (Some(_), [word]) = (line.watch, &words[..]) {
        let word = word.to_string_lossy();
        if quantity::parse_time(&word).is_ok() {
            let message = format!("status: the time of --watch is written to it: --watch={word}");
            return Err(message.into());
        }
    }
    VERB.refuse_operands(&words)?;
    let whose = match (line.all, line.mine) {
        (true, _) => Whose::All,
        (_, true) => Whose::Mine,
        (false, false) => Whose::Visible,
    };
    let form = match (line.json, line.prometheus, line.watch) {
        (true, false, None) => StatusForm::Json,
        (false, true, None) => StatusForm::Metrics,
        (false, false, Some(time)) => StatusForm::Watch(time.max(SHORTEST)),
        (false, false, None) => StatusForm::Table,
        _ => {
            let message = "--json, --prometheus and --watch exclude each other";
            return Err(message.to_owned().into());
        }
    };
    let request = StatusRequest { whose, form };
    let command = BoxCommand::Status(request);
    Ok(Call::about_box(line.look.common(), command))
}
