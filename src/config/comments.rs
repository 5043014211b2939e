//! Leaves out what a parser need not read. The files that administrators start from are hundreds of
//! lines of comments, and each run reads them.

use std::borrow::Cow;

/// The text without the lines that are comments as a whole; their ends stay, and so does the number
/// of each line. What may be no comment, or none that is allowed, stays for the parser to judge.
pub(super) fn without_comments(text: &str) -> Cow<'_, str> {
    let mut rest = String::with_capacity(text.len());
    let mut lines = text;
    while let Some(end) = end_of_line(lines.as_bytes()) {
        let (line, more) = lines.split_at(end);
        if !is_blank_or_comment(line) {
            // In a string of several lines anything may begin with #.
            if line.contains("\"\"\"") || line.contains("'''") {
                return text.into();
            }
            rest.push_str(line);
        }
        let Some(more) = more.strip_prefix('\n') else {
            return text.into();
        };
        rest.push('\n');
        lines = more;
    }
    rest.push_str(lines);
    rest.into()
}

/// Where a line ends, or else has a character that a comment may not have (TOML 1.0, Comment), or
/// may have at its end alone. `None`: neither.
fn end_of_line(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        from += first_control(&text[from..])?;
        if text[from] != b'\t' {
            return Some(from);
        }
        from += 1;
    }
}

/// The first byte that is below a blank, or is 0x7f. Eight at a time, since each run reads all of a
/// file's comments.
fn first_control(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // In the first byte that is below `limit`, which is at most 0x80, this has the highest bit, and
    // in none before it.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & (ONES << 7);
    let mut rest = bytes;
    while let Some((word, more)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*word);
        let found = below(word, 0x20) | below(word ^ (ONES * 0x7f), 1);
        if found != 0 {
            let before = found.trailing_zeros() as usize / 8;
            return Some(bytes.len() - rest.len() + before);
        }
        rest = more;
    }
    let last = rest.iter().position(u8::is_ascii_control)?;
    Some(bytes.len() - rest.len() + last)
}

fn is_blank_or_comment(line: &str) -> bool {
    let begins = line.bytes().find(|byte| !matches!(byte, b' ' | b'\t'));
    matches!(begins, None | Some(b'#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_comments_go_and_keep_their_numbers() {
        for (text, rest) in [
            ("", ""),
            ("# a\n\t # b\nc = 1 # d\n \t\n", "\n\nc = 1 # d\n\n"),
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
            "# a\r\nb = 1\r\n",
            "a = 1\n# b \0\n",
        ] {
            assert_eq!(without_comments(text), text, "{text}");
        }
    }

    #[test]
    fn a_control_character_is_found_wherever_it_is() {
        for byte in 0..=0xff_u8 {
            for at in 0..20 {
                let mut text = [b'a'; 20];
                text[at] = byte;
                // What is behind it does not count.
                text[19] = b'\n';
                let expected = if byte.is_ascii_control() { at } else { 19 };
                assert_eq!(first_control(&text), Some(expected), "{byte} {at}");
            }
        }
        assert_eq!(first_control("aaaaaaaaaaa\u{80}\u{e9}".as_bytes()), None);
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
