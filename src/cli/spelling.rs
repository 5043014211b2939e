//! How options may be spelled: the table that `getopt` looks names up in, read from a clap command.

/// Where an option comes from, which decides whether it may be shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// isolate 2.x: any prefix that no other option of isolate 2.x has.
    Isolate,
    /// isolate 1.x, gone in 2.x: a prefix that means nothing in 2.x.
    Isolate1,
    /// New here: spelled in full, so that no prefix that worked with isolate becomes ambiguous.
    Own,
}

impl Origin {
    /// Whose option `long` is.
    pub(super) fn of(long: &str) -> Self {
        match long {
            "cg-timing" | "no-cg-timing" => Self::Isolate1,
            "config" | "help" => Self::Own,
            _ => Self::Isolate,
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

/// One option as it may be spelled.
#[derive(Debug)]
pub(super) struct Spelling<'a> {
    pub(super) long: &'a str,
    pub(super) short: Option<u8>,
    pub(super) takes: Takes,
    origin: Origin,
}

/// The options of one spelling of the command line.
#[derive(Debug)]
pub(super) struct Table<'a>(pub(super) Vec<Spelling<'a>>);

impl<'a> Table<'a> {
    /// Reads the options of a clap command; it need not be built.
    pub(super) fn of(command: &'a clap::Command) -> Self {
        Self(command.get_arguments().filter_map(Spelling::of).collect())
    }

    /// Finds a long option: an exact name first, then a prefix that only one option of isolate has.
    pub(super) fn long(&self, name: &[u8]) -> Result<&Spelling<'a>, Mismatch<'_, 'a>> {
        if let Some(exact) = self.0.iter().find(|known| known.long.as_bytes() == name) {
            return Ok(exact);
        }
        for origin in [Origin::Isolate, Origin::Isolate1] {
            let matching: Vec<_> = self
                .0
                .iter()
                .filter(|known| known.origin == origin && !name.is_empty())
                .filter(|known| known.long.as_bytes().starts_with(name))
                .collect();
            match matching.as_slice() {
                [] => {}
                [only] => return Ok(only),
                _ => return Err(Mismatch::Ambiguous(matching)),
            }
        }
        Err(Mismatch::Unknown)
    }
}

impl<'a> Spelling<'a> {
    /// Reads one argument of a clap command; what has no long name is no option.
    pub(super) fn of(arg: &'a clap::Arg) -> Option<Self> {
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
            short: arg.get_short().and_then(|letter| u8::try_from(letter).ok()),
            takes,
            origin: Origin::of(long),
        })
    }
}

/// Why a long name is no option.
pub(super) enum Mismatch<'t, 'a> {
    /// No option begins like this.
    Unknown,
    /// All these do.
    Ambiguous(Vec<&'t Spelling<'a>>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::IsolateLine;
    use clap::CommandFactory;

    #[test]
    pub(super) fn the_letters_are_those_of_isolate_and_h() {
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
        assert_eq!(letters.concat(), "b:c:Dd:E:ef:hi:k:M:m:n:o:p::q:r:st:vw:x:");
    }
}
