//! Leaves out what a parser need not read. The files that administrators start from are hundreds of
//! lines of comments, and each run reads them.

use std::borrow::Cow;

/// The text without the lines that are comments as a whole; their ends stay, and so does the number
/// of each line. What may be no comment, or none that is allowed, stays for the parser to judge.
pub(super) fn without_comments(text: &str) -> Cow<'_, str> {
    let mut rest = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match kind_of(line) {
            Line::Comment => rest.push('\n'),
            Line::Other => rest.push_str(line),
            Line::Strange => return text.into(),
        }
    }
    rest.into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Nothing but a comment.
    Comment,
    Other,
    /// After this one, what looks like a comment may be none.
    Strange,
}

/// What a line is that is not in a string of several lines.
fn kind_of(line: &str) -> Line {
    let bytes = line.as_bytes();
    // Without its end, which is such a character, too.
    let within = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if has_control(within) && within.iter().copied().any(is_forbidden) {
        return Line::Strange;
    }
    let begins = bytes.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    if begins != Some(&b'#') {
        // In a string of several lines anything may begin with #.
        let has_long_string = line.contains("\"\"\"") || line.contains("'''");
        return match has_long_string {
            true => Line::Strange,
            false => Line::Other,
        };
    }
    let Some(line) = line.strip_suffix('\n') else {
        return Line::Other;
    };
    match line.strip_suffix('\r').unwrap_or(line).contains('\r') {
        true => Line::Other,
        false => Line::Comment,
    }
}

/// Whether a byte is below a blank, or is 0x7f; eight at a time, since every run reads this.
fn has_control(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // The highest bit of each byte that is below `limit`, which is at most 0x80.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & (ONES << 7);
    let is_found = |word: &[u8]| {
        let word = u64::from_ne_bytes(word.try_into().unwrap_or_default());
        below(word, 0x20) != 0 || below(word ^ (ONES * 0x7f), 1) != 0
    };
    let mut words = bytes.chunks_exact(8);
    words.by_ref().any(is_found) || words.remainder().iter().any(u8::is_ascii_control)
}

/// Whether no comment may have this character (TOML 1.0, Comment).
fn is_forbidden(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_comments_go_and_keep_their_numbers() {
        for (text, rest) in [
            ("", ""),
            ("# a\n\t # b\r\nc = 1 # d\n", "\n\nc = 1 # d\n"),
            ("a = [ # b\n# c\n 1,\n#2\n]\n", "a = [ # b\n\n 1,\n\n]\n"),
            ("a = '#'\n\"#\" = 1\n", "a = '#'\n\"#\" = 1\n"),
            ("# \u{e9}\n\u{a0}# x\n", "\n\u{a0}# x\n"),
        ] {
            assert_eq!(without_comments(text), rest, "{text}");
        }
    }

    #[test]
    fn what_the_parser_must_judge_stays() {
        for text in [
            "a = \"\"\"\n# no comment\n\"\"\"\n",
            "a = '''\n# no comment\n'''\n",
            "# \0\n",
            "# \u{7f}\n",
            "# a\rb = 1\n",
            "# at the end",
            "# at the end\r",
            "a = 1\n# b \0\n",
        ] {
            assert_eq!(without_comments(text), text, "{text}");
        }
    }

    #[test]
    fn a_control_character_is_found_wherever_it_is() {
        for byte in 0..=0xff {
            for at in 0..20 {
                let mut text = [b'a'; 20];
                text[at] = byte;
                assert_eq!(has_control(&text), byte.is_ascii_control(), "{byte} {at}");
            }
        }
    }

    #[test]
    fn the_shipped_file_means_the_same() {
        let text = include_str!("../../isolate.toml");
        let rest = without_comments(text);
        assert!(rest.len() < text.len() / 2);
        assert_eq!(rest.lines().count(), text.lines().count());
        let parsed = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
        assert_eq!(parsed(text), parsed(&rest));
    }
}
