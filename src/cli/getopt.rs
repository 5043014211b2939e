//! GNU `getopt_long` in front of clap: every spelling that isolate takes becomes `--option=value`.
//!
//! Pure, and on bytes: file names, environment and program arguments need not be UTF-8.
//! `POSIXLY_CORRECT` is ignored: what a judge's command line means must not depend on its
//! environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::page::Form;
use super::spelling::{Mismatch, Spelling, Table, Takes};
use super::suggest;
use super::value::name_and_value;

/// Where words that are not options may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operands {
    /// Anywhere between the options, as in isolate.
    Anywhere,
    /// The first one ends the options, as in env(1).
    Last,
}

/// A command line taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// `--option` or `--option=value`, names in full, in the order given.
    pub(super) options: Vec<OsString>,
    /// The program and its arguments, untouched.
    pub(super) operands: Vec<OsString>,
    /// Help, if it was asked for anywhere, as it was asked for first.
    pub(super) help: Option<Form>,
    /// Options that were given by another name: theirs in full, and as they were typed.
    others: Vec<(String, String)>,
}

impl Words {
    /// The name by which an option was given, where its own is `option`.
    pub(super) fn typed<'w>(&'w self, option: &'w str) -> &'w str {
        let mut others = self.others.iter().rev();
        let other = others.find(|(own, _)| own == option);
        other.map_or(option, |(_, typed)| typed)
    }

    /// Keeps the name by which an option was given, if it is not its own.
    fn note(&mut self, option: &Spelling<'_>, name: &[u8]) {
        if option.is_other_name(name) {
            let typed = format!("--{}", String::from_utf8_lossy(name));
            self.others.push((format!("--{}", option.long), typed));
        }
    }

    /// Refuses a number in the place of the program after an option whose value has to be glued:
    /// `-p 4 ./solution`.
    fn refuse_loose_value(&self, table: &Table<'_>) -> Result<(), String> {
        let number = self.operands.first().and_then(|word| word.to_str());
        let number = number.filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
        let last = self.options.last().and_then(|word| word.to_str());
        let option = last.and_then(|word| table.loose(word.strip_prefix("--")?));
        match (number, option) {
            (Some(number), Some(option)) => Err(format!(
                "--{0}: its value is glued to it, as in {1}{number} or --{0}={number}; here '{number}' would be the program",
                option.long,
                option.letter()
            )),
            _ => Ok(()),
        }
    }

    /// Adds an option in the one form that clap is given; help is not left to clap.
    fn push(&mut self, option: &Spelling<'_>, value: Option<&[u8]>, form: Form) {
        if option.is_help {
            self.help.get_or_insert(form);
            return;
        }
        let mut word = OsString::from("--");
        word.push(option.long);
        if let Some(value) = value {
            word.push("=");
            word.push(OsStr::from_bytes(value));
        }
        self.options.push(word);
    }
}

/// Takes a command line apart as `getopt_long` does. After a mistake, the words before it are
/// there. `argv` is without the program's own name.
pub(super) fn normalize(
    table: &Table<'_>,
    argv: impl IntoIterator<Item = OsString>,
    operands: Operands,
    words: &mut Words,
) -> Result<(), String> {
    let mut argv = argv.into_iter();
    while let Some(word) = argv.next() {
        match word.as_bytes() {
            b"--" => words.operands.extend(argv.by_ref()),
            [b'-', b'-', text @ ..] => read_long(table, text, &mut argv, words)?,
            [b'-', cluster @ ..] if !cluster.is_empty() => {
                read_cluster(table, cluster, &mut argv, words)?;
            }
            _ => {
                words.operands.push(word);
                if operands == Operands::Last {
                    words.refuse_loose_value(table)?;
                    words.operands.extend(argv.by_ref());
                }
            }
        }
    }
    Ok(())
}

/// Reads `name` or `name=value`; the two dashes are gone.
fn read_long(
    table: &Table<'_>,
    text: &[u8],
    argv: &mut impl Iterator<Item = OsString>,
    words: &mut Words,
) -> Result<(), String> {
    let (name, value) = name_and_value(text);
    let option = table.long(name).map_err(|mismatch| {
        let text = String::from_utf8_lossy(text);
        match mismatch {
            Mismatch::Unknown => {
                let name = String::from_utf8_lossy(name);
                let guess = suggest::option(&name, &table.names());
                let guess = guess.map(|option| format!("; did you mean {option}?"));
                format!(
                    "unrecognized option '--{text}'{}",
                    guess.unwrap_or_default()
                )
            }
            Mismatch::Ambiguous(options) => options.iter().fold(
                format!("option '--{text}' is ambiguous; possibilities:"),
                |message, option| format!("{message} '--{}'", option.long),
            ),
        }
    })?;
    match (option.takes, value) {
        (Takes::Nothing, Some(_)) => Err(format!(
            "option '--{}' doesn't allow an argument",
            option.long
        )),
        (Takes::Value, None) => {
            words.note(option, name);
            let value = argv
                .next()
                .ok_or_else(|| format!("option '--{}' requires an argument", option.long))?;
            words.push(option, Some(value.as_bytes()), Form::Long);
            Ok(())
        }
        _ => {
            words.note(option, name);
            words.push(option, value, Form::Long);
            Ok(())
        }
    }
}

/// Reads letters after one dash: flags, up to the first letter that takes a value.
fn read_cluster(
    table: &Table<'_>,
    cluster: &[u8],
    argv: &mut impl Iterator<Item = OsString>,
    words: &mut Words,
) -> Result<(), String> {
    let mut rest = cluster;
    while let Some((letter, tail)) = rest.split_first() {
        let option = table
            .short(*letter)
            .ok_or_else(|| format!("invalid option -- '{}'", first_char(rest)))?;
        match option.takes {
            Takes::Nothing => {
                words.push(option, None, Form::Short);
                rest = tail;
                continue;
            }
            Takes::Value if tail.is_empty() => {
                let value = argv.next().ok_or_else(|| {
                    format!("option requires an argument -- '{}'", first_char(rest))
                })?;
                words.push(option, Some(&value.into_vec()), Form::Short);
            }
            Takes::Value => words.push(option, Some(tail), Form::Short),
            Takes::OptionalValue => {
                words.push(option, (!tail.is_empty()).then_some(tail), Form::Short)
            }
        }
        break;
    }
    Ok(())
}

/// The whole character that `bytes` begin with; getopt would print its first byte.
fn first_char(bytes: &[u8]) -> char {
    let start = &bytes[..bytes.len().min(4)];
    String::from_utf8_lossy(start)
        .chars()
        .next()
        .unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::isolate::IsolateLine;
    use clap::CommandFactory;

    fn words(line: &str, operands: Operands) -> Result<String, String> {
        let command = IsolateLine::command();
        let argv = line.split_whitespace().map(OsString::from);
        let mut words = Words::default();
        normalize(&Table::of(&command), argv, operands, &mut words).map(|()| {
            let join = |words: &[OsString]| words.join(OsStr::new(" ")).into_string().unwrap();
            format!("{} | {}", join(&words.options), join(&words.operands))
        })
    }

    #[test]
    fn every_spelling_becomes_the_long_one_with_an_equals_sign() {
        for (line, expected) in [
            (
                "-b3 -t 1 --mem 5 --mem=6",
                "--box-id=3 --time=1 --mem=5 --mem=6 | ",
            ),
            ("-svt1", "--silent --verbose --time=1 | "),
            ("-svt 1", "--silent --verbose --time=1 | "),
            ("-vp4 -p 4", "--verbose --processes=4 --processes | 4"),
            (
                "-p=4 -b=4 -b= --env=A=B",
                "--processes==4 --box-id==4 --box-id== --env=A=B | ",
            ),
            ("--processes= --processes 7", "--processes= --processes | 7"),
            ("-t --run", "--time=--run | "),
            ("-t -- -v", "--time=-- --verbose | "),
            ("a -v b - -- -v -- c", "--verbose | a b - -v -- c"),
        ] {
            assert_eq!(
                words(line, Operands::Anywhere).as_deref(),
                Ok(expected),
                "{line}"
            );
        }
    }

    #[test]
    fn the_first_operand_may_end_the_options() {
        for (line, expected) in [
            ("-t 1 ls -l -- -v", "--time=1 | ls -l -- -v"),
            ("-v -- ls -- -l", "--verbose | ls -- -l"),
            ("- -v", " | - -v"),
        ] {
            assert_eq!(
                words(line, Operands::Last).as_deref(),
                Ok(expected),
                "{line}"
            );
        }
    }
}
