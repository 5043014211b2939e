//! The name that a misspelt one was probably meant to be.

use super::error::{ConfigError, Place};
use super::value::excerpt;

/// The error for a key that a table does not have.
pub(super) fn unknown_key(
    table: &str,
    name: &str,
    known: &[&'static str],
    place: &Place,
) -> ConfigError {
    let guess = nearest(name, known).map_or(String::new(), |key| format!("did you mean {key}? "));
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

/// The known name that was probably meant: at most two letters off, and not a different word.
pub(super) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    known
        .iter()
        .filter(|candidate| name.len().abs_diff(candidate.len()) <= 2)
        .map(|candidate| (distance(name.as_bytes(), candidate.as_bytes()), *candidate))
        .filter(|(distance, candidate)| {
            *distance <= 2 && *distance < name.len().min(candidate.len())
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, left out or changed to get from one word to the other
/// (Levenshtein). Both are short.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognized_and_another_word_is_not() {
        let known = ["root", "locks", "count", "first_uid", "first_gid"];
        for (name, meant) in [
            ("first_uuid", Some("first_uid")),
            ("firstgid", Some("first_gid")),
            ("lock", Some("locks")),
            ("number", None),
            ("", None),
            ("ro", None),
        ] {
            assert_eq!(nearest(name, &known), meant, "{name}");
        }
    }
}
