//! The text of errors: what failed, on what, and why, with each cause after a colon.

use std::error::Error;

use nix::errno::Errno;

/// An error and all its causes on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = reason(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&reason(error));
        cause = error.source();
    }
    text
}

/// The words of an error; one of the system without the number and name that the libraries add.
fn reason(error: &(dyn Error + 'static)) -> String {
    let io = error.downcast_ref::<std::io::Error>();
    let errno = io
        .and_then(std::io::Error::raw_os_error)
        .map(Errno::from_raw)
        .or_else(|| error.downcast_ref::<Errno>().copied());
    errno.map_or_else(|| error.to_string(), |errno| errno.desc().to_owned())
}

/// One line without characters that control a terminal: messages have names of files in them.
pub(crate) fn printable(message: &str) -> String {
    message
        .chars()
        .flat_map(|c| {
            let is_unfit = c.is_control() || is_deceptive(c);
            let escaped = is_unfit.then(|| c.escape_default());
            let plain = (!is_unfit).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// Whether a character makes what follows look as if it stood elsewhere: ends of lines and changes
/// of direction.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The beginning of a text, of at most so many bytes.
pub(crate) fn beginning(text: &str, longest: usize) -> &str {
    let mut end = longest.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::io::Error);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("cannot open 'x'")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_text_is_cut_between_two_characters() {
        for (longest, kept) in [(0, ""), (1, "a"), (2, "a"), (3, "aé"), (9, "aéb")] {
            assert_eq!(beginning("aéb", longest), kept);
        }
    }

    #[test]
    fn causes_follow_after_colons_in_the_systems_words() {
        let error = Outer(std::io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(chain(&error), "cannot open 'x': No such file or directory");
        let alone = std::io::Error::from_raw_os_error(libc::ENOSPC);
        assert_eq!(chain(&alone), "No space left on device");
        assert_eq!(chain(&Errno::ENOSPC), "No space left on device");
    }
}
