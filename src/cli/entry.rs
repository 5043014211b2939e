//! An option as people are told of it, read from the clap command: there is no second list.

use clap::{Arg, ArgAction, Command};

/// An option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its letter.
    pub(super) letter: Option<char>,
    /// Its names without the dashes, the first of which is the usual one.
    pub(super) names: Vec<String>,
    /// What follows it, as `TIME`.
    pub(super) value: Option<String>,
    /// Whether it may stand without its value, which then has to be glued to it.
    pub(super) may_lack_value: bool,
    /// What it does, in a sentence.
    pub(super) short: String,
    /// The same, with further paragraphs, each of which is a line.
    pub(super) long: String,
    /// The heading that it stands below.
    pub(super) heading: String,
    /// Whether `-h` tells of it.
    pub(super) is_common: bool,
}

/// The options of a command, in the order in which they are told.
pub(super) fn entries(command: &Command) -> Vec<Entry> {
    command.get_arguments().filter_map(Entry::of).collect()
}

impl Entry {
    fn of(arg: &Arg) -> Option<Self> {
        let first = arg.get_long().filter(|_| !arg.is_hide_set())?;
        let aliases = arg.get_visible_aliases().unwrap_or_default();
        let names = std::iter::once(first).chain(aliases);
        let takes_value = arg.get_action().takes_values();
        let value = arg.get_value_names().and_then(|names| names.first());
        let text = |text: Option<&clap::builder::StyledStr>| text.map(ToString::to_string);
        let short = text(arg.get_help()).unwrap_or_default();
        let long = text(arg.get_long_help()).unwrap_or_else(|| short.clone());
        Some(Self {
            letter: arg.get_short(),
            names: names.map(str::to_owned).collect(),
            value: value.filter(|_| takes_value).map(ToString::to_string),
            may_lack_value: takes_value
                && arg
                    .get_num_args()
                    .is_some_and(|count| count.min_values() == 0),
            short,
            long: long.replace("\n\n", "\n"),
            heading: arg.get_help_heading().unwrap_or("Options").to_owned(),
            is_common: !arg.is_hide_short_help_set(),
        })
    }

    /// How it is written: `-t, --time TIME`.
    pub(super) fn spelling(&self) -> String {
        self.spelled(&self.names)
    }

    /// The same with one name, the plain word if there is one.
    pub(super) fn short_spelling(&self) -> String {
        self.spelled(self.names.last())
    }

    fn spelled<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> String {
        let names = names.into_iter().map(|name| format!("--{name}"));
        let letter = self.letter.map(|letter| format!("-{letter}"));
        let all: Vec<_> = letter.into_iter().chain(names).collect();
        let value = match &self.value {
            Some(value) if self.may_lack_value => format!("[={value}]"),
            Some(value) => format!(" {value}"),
            None => String::new(),
        };
        format!("{}{value}", all.join(", "))
    }
}

/// Whether an option is a request for help.
pub(super) fn is_help(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Help)
}
