//! The name that a misspelt one was probably meant to be.

/// The known name that was probably meant: at most two letters off, and not a different word.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .filter(|candidate| name.len().abs_diff(candidate.len()) <= 2)
        .map(|candidate| (distance(name.as_bytes(), candidate.as_bytes()), *candidate))
        .filter(|(distance, candidate)| {
            let shorter = name.len().min(candidate.len());
            // Two slips rarely change the letter that a word begins with.
            let begins = name.bytes().next() == candidate.bytes().next();
            let goes_on = candidate.starts_with(name) || name.starts_with(candidate);
            *distance <= if begins { 2 } else { 1 } && *distance + usize::from(!goes_on) < shorter
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// A question after it, to go before what else is said; empty where nothing was meant.
pub(crate) fn did_you_mean(name: &str, known: &[&str]) -> String {
    nearest(name, known).map_or(String::new(), |meant| format!("did you mean {meant}? "))
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
            ("loot", Some("root")),
            ("loop", None),
            ("coun", Some("count")),
        ] {
            assert_eq!(nearest(name, &known), meant, "{name}");
        }
    }
}
