//! Names in directory rules that hold characters with a meaning there, or bytes that are no text.
//! Pure.

/// What is before the first `separator` that no backslash precedes, and what is after it.
pub(super) fn split_once(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 1,
            byte if byte == separator => return (&text[..at], Some(&text[at + 1..])),
            _ => {}
        }
        at += 1;
    }
    (text, None)
}

/// A path without its backslashes. One that stands before anything else than what it could mean
/// something for is a part of a name.
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let (byte, after) = match (first, after) {
            (b'\\', [byte @ (b':' | b'=' | b'\\'), after @ ..]) => (*byte, after),
            (
                b'\\',
                [
                    a @ b'0'..=b'3',
                    b @ b'0'..=b'7',
                    c @ b'0'..=b'7',
                    after @ ..,
                ],
            ) => (((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'), after),
            (byte, after) => (*byte, after),
        };
        path.push(byte);
        rest = after;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_behind_a_backslash_separates_nothing() {
        let split = |text: &'static str| split_once(text.as_bytes(), b':');
        assert_eq!(split("a:b:c"), (&b"a"[..], Some(&b"b:c"[..])));
        assert_eq!(split(r"a\:b:c"), (&br"a\:b"[..], Some(&b"c"[..])));
        assert_eq!(split(r"a\\:b"), (&br"a\\"[..], Some(&b"b"[..])));
        assert_eq!(split("a:"), (&b"a"[..], Some(&b""[..])));
        for whole in ["", "a", r"a\", r"a\:"] {
            assert_eq!(split(whole), (whole.as_bytes(), None));
        }
    }

    #[test]
    fn every_name_can_be_written_and_a_backslash_in_a_name_stays() {
        for (written, name) in [
            (r"a\:b\=c\\d", &br"a:b=c\d"[..]),
            (r"\072\075\134\040\377\000", b":=\\ \xff\0"),
            (r"a\b\x2d\", br"a\b\x2d\"),
            (r"\400\07\8", br"\400\07\8"),
            ("\u{e9}", "\u{e9}".as_bytes()),
        ] {
            assert_eq!(unescape(written.as_bytes()), name, "{written}");
        }
        let byte = |byte: u8| unescape(format!(r"\{byte:03o}").as_bytes());
        assert!((0..=u8::MAX).all(|number| byte(number) == [number]));
    }
}
