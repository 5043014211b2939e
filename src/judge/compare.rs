//! Whether an output is the answer. Pure.

use crate::request::Comparison;

/// How many characters of a token are shown.
const SHOWN: usize = 40;

/// `None`: it is; otherwise what differs first.
pub(super) fn difference(output: &[u8], answer: &[u8], how: Comparison) -> Option<String> {
    match how {
        Comparison::Exact => exact(output, answer),
        Comparison::Tokens => tokens(output, answer, |one, other| one == other),
        Comparison::Floats(tolerance) => tokens(output, answer, |one, other| {
            one == other || is_close(one, other, tolerance)
        }),
    }
}

fn exact(output: &[u8], answer: &[u8]) -> Option<String> {
    if output == answer {
        return None;
    }
    let same = output
        .iter()
        .zip(answer)
        .take_while(|(one, other)| one == other);
    let at = same.count();
    let before = &output[..at];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before
        .iter()
        .rev()
        .take_while(|byte| **byte != b'\n')
        .count()
        + 1;
    Some(format!("differs in line {line}, column {column}"))
}

fn tokens(output: &[u8], answer: &[u8], is_same: impl Fn(&[u8], &[u8]) -> bool) -> Option<String> {
    let mut found = words(output);
    let mut expected = words(answer);
    let mut number = 0_usize;
    loop {
        number += 1;
        match (found.next(), expected.next()) {
            (None, None) => return None,
            (Some(one), Some(other)) if is_same(one, other) => {}
            (Some(one), Some(other)) => {
                return Some(format!(
                    "word {number} is '{}', not '{}'",
                    shown(one),
                    shown(other)
                ));
            }
            (None, Some(other)) => {
                return Some(format!("word {number} is missing: '{}'", shown(other)));
            }
            (Some(one), None) => {
                return Some(format!("word {number} is too much: '{}'", shown(one)));
            }
        }
    }
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = text.split(u8::is_ascii_whitespace);
    words.filter(|word| !word.is_empty())
}

/// Whether two words are numbers that differ by no more than the tolerance, absolutely or relative
/// to the answer. Neither infinity nor NaN is close to anything.
fn is_close(one: &[u8], other: &[u8], tolerance: f64) -> bool {
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<f64>().ok();
    let (Some(one), Some(other)) = (number(one), number(other)) else {
        return false;
    };
    one.is_finite() && other.is_finite() && (one - other).abs() <= tolerance * other.abs().max(1.0)
}

fn shown(word: &[u8]) -> String {
    let text = String::from_utf8_lossy(word);
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", text[..at].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differs(output: &str, answer: &str, how: Comparison) -> Option<String> {
        difference(output.as_bytes(), answer.as_bytes(), how)
    }

    #[test]
    fn exact_is_byte_for_byte() {
        assert_eq!(differs("a\nb\n", "a\nb\n", Comparison::Exact), None);
        let found = differs("a\nb", "a\nc\n", Comparison::Exact).unwrap();
        assert_eq!(found, "differs in line 2, column 1");
        assert!(differs("a\n", "a", Comparison::Exact).is_some());
    }

    #[test]
    fn white_space_does_not_count_among_words() {
        assert_eq!(differs(" 1  2\r\n", "1 2", Comparison::Tokens), None);
        for (output, words) in [
            ("1 3", "word 2 is '3', not '2'"),
            ("1", "word 2 is missing: '2'"),
            ("1 2 3", "word 3 is too much: '3'"),
            ("", "word 1 is missing: '1'"),
        ] {
            assert_eq!(differs(output, "1 2", Comparison::Tokens).unwrap(), words);
        }
        assert!(differs("1.0", "1", Comparison::Tokens).is_some());
    }

    #[test]
    fn numbers_are_close_absolutely_or_relatively() {
        let close = |one, other| differs(one, other, Comparison::Floats(1e-6)).is_none();
        assert!(close("0.3333333", "0.33333333333"));
        assert!(close("1000000.5", "1000000"));
        assert!(close("1e3 x", "1000 x"));
        assert!(!close("0.001", "0"));
        for (one, other) in [
            ("nan", "1"),
            ("nan", "0"),
            ("inf", "1e308"),
            ("1", "x"),
            ("-0.1", "0.1"),
        ] {
            assert!(!close(one, other), "{one}");
        }
        assert!(close("nan", "nan"), "the same word is the same");
    }
}
