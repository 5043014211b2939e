//! `logs`: what the system's journal has of boxes.

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, CommandFactory, Parser};

use super::getopt::Operands;
use super::looking::{LookOptions, number};
use super::page::{Chapter, Page};
use super::verb::{Mistake, Verb};
use super::{Call, read, value};
use crate::quantity;
use crate::request::{BoxChoice, BoxCommand, LogsRequest};

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "logs",
    chapter: Chapter::Boxes,
    page: Page {
        about: "Show who ran what in a box, and how it ended",
        usage: &["[OPTIONS]... [BOX]"],
        description: "Reads the system's journal, by journalctl: an entry for each run, and for each command that was \
            refused or failed. Without a box it is about all of them.\n\
            Root sees all entries, others those about their own commands, or all where polkit allows it \
            (io.github.isolate_run.see-boxes).",
        examples: &[
            ("logs 7", "the last runs in box 7"),
            ("logs --user alice -n 20", "what alice ran last"),
            ("logs --since today --json", "all of today, for programs"),
        ],
        ..Page::EMPTY
    },
    command: LogsLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

/// The options of `logs`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
pub(super) struct LogsLine {
    /// From this time on, as in 'today', '2 hours ago' or '2026-11-29 14:00' (systemd.time(7))
    #[arg(long, value_name = "WHEN", value_parser = value::word(moment))]
    since: Option<String>,
    /// The last ones, so many [default: 100]
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = value::text(quantity::parse_count))]
    lines: Option<u32>,
    /// For programs: an object on each line, with all fields
    #[arg(long)]
    json: bool,
    /// Commands of this user alone, by name or number
    #[arg(long, value_name = "USER", value_parser = value::word(user))]
    user: Option<String>,
    /// Go on with what comes, until Ctrl-C; root alone
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    look: LookOptions,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

/// How many entries are shown where nothing else is said.
const USUAL: u32 = 100;
/// The most that are shown.
const MOST: u32 = 5000;

/// A moment in systemd's words.
fn moment(word: &OsStr) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || " :.+-/@".contains(c);
    let text = word
        .to_str()
        .filter(|text| text.len() < 100 && text.chars().all(fits));
    text.map(str::to_owned)
        .ok_or("this is no time: use 'today', '2 hours ago' or '2026-11-29 14:00'")
}

/// A user, by a name that passwd(5) can have, or by a number.
fn user(word: &OsStr) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-$@".contains(c);
    let text = word
        .to_str()
        .filter(|text| !text.is_empty() && text.len() < 100 && text.chars().all(fits));
    text.map(str::to_owned)
        .ok_or("this is no name of a user, and no number")
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, words) = read::<LogsLine>(argv, VERB.operands)?;
    let mut common = line.look.common();
    common.box_id = match words.as_slice() {
        [] => None,
        [word] => Some(BoxChoice::Number(number("logs", word)?)),
        _ => return Err("logs takes one box".to_owned().into()),
    };
    let request = LogsRequest {
        since: line.since,
        lines: line.lines.unwrap_or(USUAL).min(MOST),
        json: line.json,
        user: line.user,
        follow: line.follow,
    };
    Ok(Call::about_box(common, BoxCommand::Logs(request)))
}
