//! What the verbs that look after boxes have in common.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::rootless;
use super::value;
use super::verb::Mistake;
use crate::quantity::{BoxId, parse_count};
use crate::request::Common;

/// Their options.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct LookOptions {
    #[arg(long, help = rootless::HELP, long_help = rootless::LONG_HELP)]
    rootless: bool,
    /// Read this file instead of the installed configuration
    #[arg(long, value_name = "FILE", value_parser = value::word(value::path))]
    config: Option<PathBuf>,
    /// Say what is done; twice: say more
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

impl LookOptions {
    /// The same as options of any command about boxes.
    pub(super) fn common(self) -> Common {
        Common {
            config: self.config,
            rootless: self.rootless,
            verbosity: self.verbose,
            ..Common::default()
        }
    }
}

/// The number of a box that stands after a verb.
pub(super) fn number(verb: &str, word: &OsStr) -> Result<BoxId, Mistake> {
    parse_count(&word.to_string_lossy())
        .map(BoxId)
        .map_err(|error| Mistake::Usage(format!("{verb}: {error}")))
}
