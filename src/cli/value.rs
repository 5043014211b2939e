//! Values of options: how a word becomes a size, a path, a rule. What they mean is decided
//! elsewhere.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::dir_rule::DirRequest;
use crate::quantity::{BoxId, QuantityError, parse_count};
use crate::request::{BoxChoice, EnvRule, OutputTarget};

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
    OsStringValueParser::new().try_map(move |word: OsString| {
        parse(&word.to_string_lossy()).map_err(|error| error.to_string())
    })
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

/// One `--env`.
pub(super) fn env_rule(word: &OsStr) -> Result<EnvRule, &'static str> {
    let bytes = word.as_bytes();
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    };
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
