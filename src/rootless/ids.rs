//! Which subordinate ids a user has: subuid(5), subgid(5). Pure.

use crate::way;

/// A range of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    /// The first one.
    pub(crate) first: u32,
    /// How many there are.
    pub(crate) count: u32,
}

/// The largest range of a user, who stands there by name or by number; `None` if they have none. As
/// many ids of it count as there is room for below [`way::UNMAPPED`].
pub(crate) fn range_of(text: &str, name: Option<&str>, uid: u32) -> Option<Range> {
    let uid = uid.to_string();
    const MOST: u32 = way::UNMAPPED - 1;
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let user = fields.next()?;
        let mut number = || fields.next()?.parse::<u32>().ok();
        let (first, count) = (number()?, number()?);
        let is_theirs = Some(user) == name || user == uid;
        let makes_sense = first > 0 && count > 0 && first.checked_add(count).is_some();
        let count = count.min(MOST);
        (is_theirs && makes_sense).then_some(Range { first, count })
    });
    ranges.max_by_key(|range| range.count)
}

/// The name of a user in a text like that of /etc/passwd.
pub(crate) fn name_in(text: &str, uid: u32) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The arguments of newuidmap(1) after the process: 0 inside is the user, and what follows their
/// subordinate ids.
pub(super) fn map(own: u32, range: Range) -> [String; 6] {
    [0, own, 1, 1, range.first, range.count].map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# note\nann:100000:10\nbob:7:x\n1000:300000:65536\nann:200000:5\n\n";

    #[test]
    fn a_user_has_a_range_by_name_or_by_number() {
        let range = |name, uid| range_of(TEXT, name, uid).map(|range| (range.first, range.count));
        assert_eq!(range(Some("ann"), 1), Some((100_000, 10)));
        assert_eq!(range(Some("ann"), 1000), Some((300_000, 65_533)));
        assert_eq!(range(None, 1000), Some((300_000, 65_533)));
        assert_eq!(range(Some("an"), 1), None);
    }

    #[test]
    fn what_is_no_range_is_none() {
        for line in [
            "bob:7:x",
            "bob:7",
            "bob",
            "bob:0:5",
            "bob:5:0",
            "bob:4294967295:1",
            "",
        ] {
            assert_eq!(range_of(line, Some("bob"), 1), None, "{line}");
        }
    }

    #[test]
    fn a_user_has_the_name_that_stands_first() {
        let text = "root:x:0:0:root:/root:/bin/sh\nann:x:7:7::/:\nother:x:7:7::/:\n";
        assert_eq!(name_in(text, 7).as_deref(), Some("ann"));
        assert_eq!(name_in(text, 8), None);
    }

    #[test]
    fn root_inside_is_the_user_and_all_others_are_subordinate() {
        let map = map(
            1000,
            Range {
                first: 100_000,
                count: 65_536,
            },
        );
        assert_eq!(map.join(" "), "0 1000 1 1 100000 65536");
    }
}
