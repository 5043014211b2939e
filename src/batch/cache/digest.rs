//! The SHA-256 of a file, as it is written. Pure.

use std::fmt::{self, Write};

/// How many digits it has.
const DIGITS: usize = 64;

/// A digest: 64 small hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest(String);

impl Digest {
    /// Reads one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == DIGITS && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// The one of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(DIGITS);
        for byte in bytes {
            // Nothing can go wrong with a string.
            write!(text, "{byte:02x}").ok();
        }
        Self(text)
    }

    /// The first two digits, and the others.
    pub(super) fn parts(&self) -> (&str, &str) {
        self.0.split_at(2)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_64_small_digits_and_is_no_path() {
        let good = "0f".repeat(32);
        assert_eq!(Digest::parse(&good).unwrap().to_string(), good);
        assert_eq!(Digest::of(&[0x0f; 32]), Digest(good.clone()));
        for bad in [
            "",
            &good[1..],
            &good.to_uppercase(),
            &"../".repeat(22)[..64],
        ] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }
}
