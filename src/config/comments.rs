//! Leaves out what a parser need not read. The files that administrators start from are hundreds of
//! lines of comments, and each run reads them.

use std::borrow::Cow;

/// The text without the lines that are comments as a whole; their ends stay, and so does the number
/// of each line. What may be no comment, or none that is allowed, stays for the parser to judge.
pub(super) fn without_comments(text: &str) -> Cow<'_, str> {
    let mut rest = String::with_capacity(text.len());
    let mut begin = 0;
    while begin < text.len() {
        let Some(end) = end_of_line(&text.as_bytes()[begin..]) else {
            return text.into();
        };
        let line = &text[begin..begin + end];
        begin += end;
        if is_comment(line) {
            rest.push('\n');
            continue;
        }
        // In a string of several lines anything may begin with #.
        if line.contains("\"\"\"") || line.contains("'''") {
            return text.into();
        }
        rest.push_str(line);
    }
    rest.into()
}

/// How long the first line is, with its end. `None` if it has a character that no comment may have
/// (TOML 1.0, Comment).
fn end_of_line(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += before_control(&text[at..]);
        match text.get(at) {
            None => return Some(at),
            Some(b'\n') => return Some(at + 1),
            Some(b'\t' | b'\r') => at += 1,
            Some(_) => return None,
        }
    }
}

/// How many bytes there are before the first that is below a blank, or is 0x7f. Eight at a time,
/// since each run reads all of a file's comments.
fn before_control(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // Not zero if any byte is below `limit`, which is at most 0x80.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & (ONES << 7);
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_ne_bytes(*word);
        if below(word, 0x20) | below(word ^ (ONES * 0x7f), 1) != 0 {
            break;
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(u8::is_ascii_control);
    rest.map_or(bytes.len(), |more| at + more)
}

/// Whether a line, with its end, is nothing but a comment.
fn is_comment(line: &str) -> bool {
    let begins = line.bytes().find(|byte| !matches!(byte, b' ' | b'\t'));
    let within = line.strip_suffix('\n');
    let within = within.map(|line| line.strip_suffix('\r').unwrap_or(line));
    begins == Some(b'#') && within.is_some_and(|line| !line.as_bytes().contains(&b'\r'))
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
        for byte in 0..=0xff_u8 {
            for at in 0..20 {
                let mut text = [b'a'; 20];
                text[at] = byte;
                let expected = if byte.is_ascii_control() { at } else { 20 };
                assert_eq!(before_control(&text), expected, "{byte} {at}");
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
