//! Names of keys in errors.

use super::error::{ConfigError, Place};
use super::value::excerpt;
use crate::guess::did_you_mean;

/// The error for a key that a table does not have.
pub(super) fn unknown_key(
    table: &str,
    name: &str,
    known: &[&'static str],
    place: &Place,
) -> ConfigError {
    let guess = did_you_mean(name, known);
    place.key_error(
        format_args!("{table}.{}", shown_key(name)),
        format_args!("unknown key; {guess}known here are {}", known.join(", ")),
    )
}

/// A key's name as an error shows it: as it stands when it is a word, quoted otherwise.
pub(super) fn shown_key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(is_bare) {
        excerpt(name)
    } else {
        format!("\"{}\"", excerpt(name))
    }
}
