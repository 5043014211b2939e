//! Leaves out what a parser need not read. The files that administrators start from are hundreds of
//! lines of comments, and each run reads them.

use std::borrow::Cow;

/// The text without the lines that are comments as a whole; their ends stay, and so does the number
/// of each line. What may be no comment, or none that is allowed, stays for the parser to judge.
pub(super) fn without_comments(text: &str) -> Cow<'_, str> {
    // In a string of several lines anything may begin with #.
    let has_long_strings = text.contains("\"\"\"") || text.contains("'''");
    if has_long_strings || text.bytes().any(is_forbidden) {
        return text.into();
    }
    let mut rest = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match is_comment(line) {
            true => rest.push('\n'),
            false => rest.push_str(line),
        }
    }
    rest.into()
}

/// Whether no comment may have this character (TOML 1.0, Comment).
fn is_forbidden(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r')
}

/// Whether a line, with its end, is nothing but a comment.
fn is_comment(line: &str) -> bool {
    let Some(line) = line.strip_suffix('\n') else {
        return false;
    };
    let line = line.strip_suffix('\r').unwrap_or(line);
    line.trim_start_matches([' ', '\t']).starts_with('#') && !line.contains('\r')
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
        ] {
            assert_eq!(without_comments(text), text, "{text}");
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
