//! How options may be spelled: the table in which `getopt` looks names up.

use super::entry;

/// Where an option comes from, which decides whether it may be shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// isolate 2.x: any prefix that no other option of isolate 2.x has.
    Isolate,
    /// isolate 1.x, gone in 2.x: any prefix that means nothing in 2.x.
    Isolate1,
    /// New here: spelled in full, so that every prefix that works with isolate stays unambiguous.
    Own,
}

/// The options of isolate 2.x, by their long names.
const ISOLATES: [&str; 39] = [
    "as-gid",
    "as-uid",
    "box-id",
    "cg",
    "cg-mem",
    "chdir",
    "check-config",
    "cleanup",
    "core",
    "dir",
    "env",
    "extra-time",
    "fsize",
    "full-env",
    "inherit-fds",
    "init",
    "mem",
    "meta",
    "no-default-dirs",
    "open-files",
    "print-cg-root",
    "processes",
    "quota",
    "run",
    "share-net",
    "silent",
    "special-files",
    "stack",
    "stderr",
    "stderr-to-stdout",
    "stdin",
    "stdout",
    "syscalls",
    "time",
    "tty-hack",
    "verbose",
    "version",
    "wait",
    "wall-time",
];

/// The option that asks for help.
const HELP: &str = "help";

impl Origin {
    /// The origin of the option `long`.
    fn of(long: &str) -> Self {
        match long {
            "cg-timing" | "no-cg-timing" => Self::Isolate1,
            _ if ISOLATES.contains(&long) => Self::Isolate,
            _ => Self::Own,
        }
    }
}

/// What an option takes after its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// A flag.
    Nothing,
    /// A value: glued, after `=`, or the next word.
    Value,
    /// A value only when glued or after `=`.
    OptionalValue,
}

/// The spellings of one option.
#[derive(Debug)]
pub(super) struct Spelling<'a> {
    /// Its name without the dashes.
    pub(super) long: &'a str,
    /// Further names.
    aliases: Vec<&'a str>,
    /// Whether it asks for help.
    pub(super) is_help: bool,
    /// Its letter.
    short: Option<u8>,
    /// What follows.
    pub(super) takes: Takes,
}

/// Why a long name is not an option.
#[derive(Debug)]
pub(super) enum Mismatch<'t, 'a> {
    /// No option begins like this.
    Unknown,
    /// All these options do.
    Ambiguous(Vec<&'t Spelling<'a>>),
}

/// The options of one spelling of the command line.
#[derive(Debug)]
pub(super) struct Table<'a>(Vec<Spelling<'a>>);

impl<'a> Table<'a> {
    /// A table of these.
    pub(super) fn new(spellings: impl IntoIterator<Item = Spelling<'a>>) -> Self {
        Self(spellings.into_iter().collect())
    }

    /// Reads the options of a clap command; it need not be built.
    pub(super) fn of(command: &'a clap::Command) -> Self {
        Self(command.get_arguments().filter_map(Spelling::of).collect())
    }

    /// Finds a long option: an exact name first, then a prefix that only one option of isolate has.
    pub(super) fn long(&self, name: &[u8]) -> Result<&Spelling<'a>, Mismatch<'_, 'a>> {
        let mut options = self.0.iter();
        if let Some(exact) = options.find(|known| known.has_name(name)) {
            return Ok(exact);
        }
        for origin in [Origin::Isolate, Origin::Isolate1] {
            let matching: Vec<_> = self
                .0
                .iter()
                .filter(|known| known.long.as_bytes().starts_with(name) && !name.is_empty())
                .filter(|known| Origin::of(known.long) == origin)
                .collect();
            match matching.as_slice() {
                [] => {}
                [only] => return Ok(only),
                _ => return Err(Mismatch::Ambiguous(matching)),
            }
        }
        Err(Mismatch::Unknown)
    }

    /// The names of all options.
    pub(super) fn names(&self) -> Vec<&'a str> {
        let names = |known: &Spelling<'a>| {
            let first = std::iter::once(known.long);
            first.chain(known.aliases.clone()).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(names).collect()
    }

    /// The option of this name, if it takes a value only where that is glued to it.
    pub(super) fn loose(&self, name: &str) -> Option<&Spelling<'a>> {
        let mut options = self.0.iter();
        options.find(|known| known.long == name && known.takes == Takes::OptionalValue)
    }

    /// Finds an option by its letter.
    pub(super) fn short(&self, letter: u8) -> Option<&Spelling<'a>> {
        self.0.iter().find(|known| known.short == Some(letter))
    }
}

impl<'a> Spelling<'a> {
    /// The spellings of an option: its name, further names, its letter.
    pub(super) fn new(long: &'a str, others: &[&'a str], short: Option<u8>, takes: Takes) -> Self {
        Self {
            long,
            aliases: others.to_vec(),
            is_help: long == HELP,
            short,
            takes,
        }
    }

    fn has_name(&self, name: &[u8]) -> bool {
        self.long.as_bytes() == name || self.is_other_name(name)
    }

    /// Whether this is a name of its own beside the long one.
    pub(super) fn is_other_name(&self, name: &[u8]) -> bool {
        let mut aliases = self.aliases.iter();
        aliases.any(|alias| alias.as_bytes() == name)
    }

    /// Its letter as it is typed, or its name where it has none.
    pub(super) fn letter(&self) -> String {
        match self.short {
            Some(letter) => format!("-{}", char::from(letter)),
            None => format!("--{}=", self.long),
        }
    }

    /// Reads one argument of a clap command; one without a long name is not an option.
    fn of(arg: &'a clap::Arg) -> Option<Self> {
        let long = arg.get_long()?;
        let takes = if !arg.get_action().takes_values() {
            Takes::Nothing
        } else if arg
            .get_num_args()
            .is_some_and(|count| count.min_values() == 0)
        {
            Takes::OptionalValue
        } else {
            Takes::Value
        };
        Some(Self {
            long,
            aliases: arg.get_visible_aliases().unwrap_or_default(),
            is_help: entry::is_help(arg),
            short: arg.get_short().and_then(|letter| u8::try_from(letter).ok()),
            takes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::isolate::IsolateLine;
    use clap::CommandFactory;

    #[test]
    fn the_letters_are_those_of_isolate_and_h() {
        let command = IsolateLine::command();
        let mut letters: Vec<String> = Table::of(&command)
            .0
            .iter()
            .filter_map(|known| {
                let colons = match known.takes {
                    Takes::Nothing => "",
                    Takes::Value => ":",
                    Takes::OptionalValue => "::",
                };
                Some(format!("{}{colons}", char::from(known.short?)))
            })
            .collect();
        letters.sort_by_key(|letter| (letter.to_lowercase(), letter.clone()));
        assert_eq!(letters.concat(), "b:c:Dd:eE:f:hi:k:M:m:n:o:p::q:r:st:vw:x:");
    }

    #[test]
    fn only_the_names_of_isolate_2_can_be_shortened_whatever_else_is_added() {
        let command = IsolateLine::command();
        let table = Table::of(&command);
        let mut names: Vec<&str> = table
            .0
            .iter()
            .filter(|known| Origin::of(known.long) == Origin::Isolate)
            .map(|known| known.long)
            .collect();
        names.sort_unstable();
        let isolate = "as-gid as-uid box-id cg cg-mem chdir check-config cleanup core dir env \
            extra-time fsize full-env inherit-fds init mem meta no-default-dirs open-files \
            print-cg-root processes quota run share-net silent special-files stack stderr \
            stderr-to-stdout stdin stdout syscalls time tty-hack verbose version wait wall-time";
        assert_eq!(names, isolate.split_whitespace().collect::<Vec<_>>());
    }
}
