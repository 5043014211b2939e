//! `gc`: removes boxes that nobody has used for a time.

use std::ffi::OsString;
use std::time::Duration;

use clap::{ArgAction, CommandFactory, Parser};

use super::getopt::Operands;
use super::looking::LookOptions;
use super::page::{Chapter, Page};
use super::verb::{Mistake, Verb};
use super::{Call, read, value};
use crate::quantity::{QuantityError, parse_time};
use crate::request::{BoxCommand, GcRequest};

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "gc",
    chapter: Chapter::Boxes,
    page: Page {
        about: "Remove boxes that nobody has used for a time",
        usage: &["[OPTIONS]..."],
        description: "A box is used when it is made and when a run begins or ends in it. Boxes that somebody works on \
            stay, and so does one that cannot be removed; the others go all the same.\n\
            Root removes the boxes of all users, others their own; with --all, those of all where polkit allows it \
            (io.github.isolate_run.manage-boxes).\n\
            A box with thousands of files is moved away when it is removed, to the directory ROOT.removed beside [boxes] \
            root, where that exists, and deleted in the background: by isolate-removal.service, which calls gc \
            --removed. Root's gc does so as well.",
        examples: &[
            ("gc --dry-run", "see what would go"),
            (
                "gc --older-than 12h",
                "remove what was not used for half a day",
            ),
        ],
        ..Page::EMPTY
    },
    command: GcLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

/// The options of `gc`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
pub(super) struct GcLine {
    /// Not used for so long, as in 12h or 7d [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = value::text(parse_days))]
    older_than: Option<Duration>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// The boxes of all users
    #[arg(long)]
    all: bool,
    /// Delete what large boxes have left that were removed, and nothing else: for root
    #[arg(long)]
    removed: bool,
    #[command(flatten)]
    look: LookOptions,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

/// How long a box has to be unused where nothing else is said.
const USUAL: Duration = Duration::from_secs(7 * 86_400);

/// A time, also in days.
fn parse_days(text: &str) -> Result<Duration, QuantityError> {
    let days = text.strip_suffix('d').map(str::parse::<u32>);
    match days {
        Some(Ok(days)) => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        _ => parse_time(text),
    }
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, words) = read::<GcLine>(argv, VERB.operands)?;
    VERB.refuse_operands(&words)?;
    let request = GcRequest {
        older_than: line.older_than.unwrap_or(USUAL),
        dry_run: line.dry_run,
        all: line.all,
        leftovers: line.removed,
    };
    Ok(Call::about_box(line.look.common(), BoxCommand::Gc(request)))
}
