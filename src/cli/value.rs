//! Values of options: how a word becomes a size, a path, a rule. What they mean is decided
//! elsewhere.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::dir_rule::DirRequest;
use crate::quantity::{BoxId, QuantityError, parse_count};
use crate::request::{BoxChoice, Copied, EnvRule, OutputTarget};
use crate::screen::Coloring;

/// A value parser for clap from a function on words, which need not be UTF-8. Errors are passed on
/// as text: the one place that prints them puts the option's name before it.
pub(super) fn word<T, E>(parse: fn(&OsStr) -> Result<T, E>) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
    E: Display + 'static,
{
    OsStringValueParser::new()
        .try_map(move |word: OsString| parse(&word).map_err(|error| error.to_string()))
}

/// A value parser for clap from a function on text. A word that is not UTF-8 is not a quantity
/// either, and the function's own error says so.
pub(super) fn text<T>(
    parse: fn(&str) -> Result<T, QuantityError>,
) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
{
    OsStringValueParser::new()
        .try_map(move |word: OsString| quantity(&word, parse).map_err(|error| error.to_string()))
}

/// A value that is text, by a function on text.
pub(super) fn quantity<T>(
    word: &OsStr,
    parse: fn(&str) -> Result<T, QuantityError>,
) -> Result<T, QuantityError> {
    parse(&word.to_string_lossy())
}

/// The number of a box, or `auto`.
pub(super) fn box_choice(text: &str) -> Result<BoxChoice, QuantityError> {
    match text {
        "auto" => Ok(BoxChoice::Auto),
        _ => parse_count(text).map(BoxId).map(BoxChoice::Number),
    }
}

/// The name of a file or directory.
pub(super) fn path(word: &OsStr) -> Result<PathBuf, &'static str> {
    if word.is_empty() {
        return Err("the name is empty");
    }
    Ok(PathBuf::from(word))
}

/// The target of `--meta` or `--report`.
pub(super) fn output(word: &OsStr) -> Result<OutputTarget, &'static str> {
    if word == "-" {
        return Ok(OutputTarget::Stdout);
    }
    path(word).map(OutputTarget::File)
}

/// The same for an option that takes its file as a word of its own: one that was forgotten is not
/// the `--` before the program.
pub(super) fn export(word: &OsStr) -> Result<OutputTarget, &'static str> {
    match word == "--" {
        true => Err("it wants the name of a file, or - for standard output, before the --"),
        false => output(word),
    }
}

/// One `--env`.
pub(super) fn env_rule(word: &OsStr) -> Result<EnvRule, &'static str> {
    let (name, value) = name_and_value(word.as_bytes());
    if name.is_empty() {
        return Err("the name of the variable is empty: use VAR, VAR=VALUE or VAR=");
    }
    let owned = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    Ok(match value {
        None => EnvRule::Inherit(owned(name)),
        Some([]) => EnvRule::Remove(owned(name)),
        Some(value) => EnvRule::Set(owned(name), owned(value)),
    })
}

/// One `--dir`.
pub(super) fn dir_rule(word: &OsStr) -> Result<DirRequest, String> {
    DirRequest::parse(word).map_err(|error| error.to_string())
}

/// One `--in`: `FILE` or `NAME=FILE`.
pub(super) fn brought(word: &OsStr) -> Result<Copied, String> {
    let (inside, outside) = in_two(word);
    let outside = path(outside)?;
    let inside = match inside {
        Some(inside) => PathBuf::from(inside),
        None => outside.file_name().map(PathBuf::from).ok_or_else(|| {
            let word = word.to_string_lossy();
            format!("'{word}' has no name of its own: use NAME=FILE")
        })?,
    };
    Ok(Copied {
        inside: below_box(&inside)?,
        outside,
    })
}

/// One `--out`: `FILE` or `NAME=FILE`.
pub(super) fn fetched(word: &OsStr) -> Result<Copied, String> {
    let (inside, outside) = in_two(word);
    let inside = below_box(Path::new(inside.unwrap_or(outside)))?;
    let outside = match word.as_bytes().contains(&b'=') {
        true => path(outside)?,
        false => inside.file_name().map(PathBuf::from).unwrap_or_default(),
    };
    Ok(Copied { inside, outside })
}

/// What stands before and after the first equals sign; all of it after, if there is none.
fn in_two(word: &OsStr) -> (Option<&OsStr>, &OsStr) {
    match name_and_value(word.as_bytes()) {
        (name, Some(value)) => (Some(OsStr::from_bytes(name)), OsStr::from_bytes(value)),
        (_, None) => (None, word),
    }
}

/// `name` or `name=value`, taken apart at the first equals sign.
pub(super) fn name_and_value(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b'=') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// The name of a file as seen from /box, which it may begin with.
fn below_box(name: &Path) -> Result<PathBuf, String> {
    let relative = name.strip_prefix("/box").unwrap_or(name);
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if relative.as_os_str().is_empty() || !relative.components().all(is_plain) {
        let name = name.display();
        return Err(format!("'{name}' is not the name of a file below /box"));
    }
    Ok(relative.to_owned())
}

/// `--color`.
pub(super) fn coloring(word: &OsStr) -> Result<Coloring, String> {
    match word.to_str() {
        Some("auto") => Ok(Coloring::Auto),
        Some("always") => Ok(Coloring::Always),
        Some("never") => Ok(Coloring::Never),
        _ => {
            let word = word.to_string_lossy();
            Err(format!("'{word}' is not one of auto, always, never"))
        }
    }
}

/// `--etc`: a rule in short.
pub(super) fn etc(word: &OsStr) -> Result<DirRequest, String> {
    let rule = match word.to_str() {
        Some("minimal") => "etc=etc:fs",
        Some("host") => "etc",
        Some("none") => "etc=",
        _ => {
            let word = word.to_string_lossy();
            return Err(format!("'{word}' is not one of minimal, host, none"));
        }
    };
    dir_rule(OsStr::new(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etc_is_one_of_three_rules() {
        for (word, rule) in [
            ("minimal", "etc=etc:fs"),
            ("host", "/etc"),
            ("none", "etc="),
        ] {
            assert_eq!(etc(OsStr::new(word)), dir_rule(OsStr::new(rule)));
        }
        let error = etc(OsStr::new("all")).unwrap_err();
        assert_eq!(error, "'all' is not one of minimal, host, none");
    }

    #[test]
    fn a_file_to_be_copied_has_a_name_inside_and_one_out_here() {
        let pair = |copied: Copied| (copied.inside, copied.outside);
        for (word, inside, outside) in [
            ("a", "a", "a"),
            ("x/a", "a", "x/a"),
            ("b=x/a", "b", "x/a"),
            ("/box/b/c=/a", "b/c", "/a"),
        ] {
            let brought = brought(OsStr::new(word)).map(pair);
            assert_eq!(brought, Ok((inside.into(), outside.into())), "{word}");
        }
        for (word, inside, outside) in [
            ("a", "a", "a"),
            ("x/a", "x/a", "a"),
            ("/box/a=/tmp/b", "a", "/tmp/b"),
        ] {
            let fetched = fetched(OsStr::new(word)).map(pair);
            assert_eq!(fetched, Ok((inside.into(), outside.into())), "{word}");
        }
        for word in ["", "=a", "a=", "../a=b", "/etc/x=a", "/", "a/..=b"] {
            assert!(brought(OsStr::new(word)).is_err(), "{word}");
        }
        for word in ["", "=a", "a=", "../a", "/etc/passwd", "/box", "."] {
            let fetched = fetched(OsStr::new(word));
            assert!(fetched.is_err() || word == ".", "{word}: {fetched:?}");
        }
    }

    #[test]
    fn an_env_rule_inherits_sets_or_removes() {
        let rule = |text: &str| env_rule(OsStr::new(text));
        assert_eq!(rule("A"), Ok(EnvRule::Inherit("A".into())));
        assert_eq!(rule("A=b=c"), Ok(EnvRule::Set("A".into(), "b=c".into())));
        assert_eq!(rule("A="), Ok(EnvRule::Remove("A".into())));
        for text in ["", "=", "=x"] {
            assert!(rule(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_env_rule_keeps_bytes_that_are_no_text() {
        let word = OsStr::from_bytes(b"\xff=\xfe\xfd");
        let rule = EnvRule::Set(
            OsStr::from_bytes(b"\xff").to_owned(),
            OsStr::from_bytes(b"\xfe\xfd").to_owned(),
        );
        assert_eq!(env_rule(word), Ok(rule));
    }

    #[test]
    fn a_single_dash_is_standard_output_for_results_alone() {
        assert_eq!(output(OsStr::new("-")), Ok(OutputTarget::Stdout));
        assert_eq!(
            output(OsStr::new("--")),
            Ok(OutputTarget::File("--".into()))
        );
        assert_eq!(path(OsStr::new("-")), Ok(PathBuf::from("-")));
        assert!(output(OsStr::new("")).is_err());
    }
}
