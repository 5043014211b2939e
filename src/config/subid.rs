//! `[boxes] subid_user`: the box uids and gids, from that user's ranges in `/etc/subuid` and
//! `/etc/subgid`.
//!
//! Each line of both files is `USER:FIRST:COUNT`, with USER by name or by number; see subuid(5).

use super::error::{ConfigError, Place};
use super::value::excerpt;

/// A range of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IdRange {
    /// The first id.
    pub(super) first: u32,
    /// How many there are.
    pub(super) count: u32,
}

/// The ids of a subid user.
#[derive(Debug, Clone, Copy)]
pub(super) struct SubIds {
    /// From `/etc/subuid`.
    pub(super) uids: IdRange,
    /// From `/etc/subgid`.
    pub(super) gids: IdRange,
}

/// The user's first range in the text of one file.
pub(super) fn first_range(text: &str, user: &str, file: &Place) -> Result<IdRange, ConfigError> {
    for (index, line) in text.lines().enumerate() {
        let mut fields = line.trim().split(':');
        if fields.next() != Some(user) {
            continue;
        }
        let mut number = || fields.next()?.parse().ok();
        let range = number().zip(number());
        return match (range, fields.next()) {
            (Some((first, count)), None) => Ok(IdRange { first, count }),
            _ => Err(file.at_line(index + 1).error(format_args!(
                "'{}' is no range of ids; USER:FIRST:COUNT is allowed",
                excerpt(line)
            ))),
        };
    }
    Err(file.error(format_args!(
        "no range of ids for user '{user}'; a line '{user}:FIRST:COUNT' is needed"
    )))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn range(text: &str, user: &str) -> Result<(u32, u32), String> {
        first_range(text, user, &Place::file(Path::new("/etc/subuid")))
            .map(|range| (range.first, range.count))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_line_of_the_user_counts() {
        let text = "# note\nann:100000:65536\nisolate:200000:5000\nisolate:1:1\n1000:7:8\n";
        assert_eq!(range(text, "isolate"), Ok((200_000, 5000)));
        assert_eq!(range(text, "1000"), Ok((7, 8)));
    }

    #[test]
    fn a_missing_user_and_a_broken_line_are_named() {
        assert!(
            range("ann:1:2\n", "an")
                .unwrap_err()
                .contains("'an:FIRST:COUNT'")
        );
        for line in [
            "a",
            "a:",
            "a:1",
            "a:1:",
            "a:1:2:3",
            "a:-1:2",
            "a:x:2",
            "a:1:99999999999",
        ] {
            let error = range(&format!("\n{line}\n"), "a").unwrap_err();
            assert!(error.starts_with("/etc/subuid:2: "), "{error}");
        }
    }
}
