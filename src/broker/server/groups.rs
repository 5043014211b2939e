//! The groups of a caller's process by name, for `[broker] groups` and for polkit's rules. polkit
//! itself knows only the groups of the user database; a service may have others
//! (`SupplementaryGroups=`).

use std::collections::BTreeMap;

use crate::barrier::Barrier;

/// The most bytes of names: others use the bus to polkit, too.
const MOST: usize = 16 << 10;
/// How many groups may be named: each takes a letter and a space.
pub(super) const MOST_NAMED: usize = MOST / 2 + 1;

/// The names of groups by the text of `/etc/group` (group(5)), separated by spaces. A group that is
/// not in there has its number, and names that exceed the limit are left out.
pub(super) fn names(groups: &[u32], text: &str) -> String {
    let mut names = BTreeMap::<u32, &str>::new();
    for (name, number) in entries(text) {
        // The first line with a number counts, as for getgrgid(3).
        names.entry(number).or_insert(name);
    }
    let mut shown = String::new();
    for group in groups {
        let name = match names.get(group) {
            Some(name) => (*name).to_owned(),
            None => group.to_string(),
        };
        if shown.len() + 1 + name.len() > MOST {
            break;
        }
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(&name);
    }
    shown
}

/// Whether one of the groups is among those that are named, by the text of `/etc/group`. A name
/// that is not in there is nobody's, and a number is a number.
pub(super) fn are_among(groups: &[u32], named: &[String], text: &str) -> bool {
    let number = |name: &String| match is_number(name) {
        true => name.parse().ok(),
        // The first line with a name counts, as for getgrnam(3).
        false => entries(text).find_map(|(known, number)| (known == name).then_some(number)),
    };
    let mut named = named.iter().filter_map(number);
    named.any(|number| groups.contains(&number)) || !Barrier::Members.stands()
}

/// The names and numbers in the text of `/etc/group`.
fn entries(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| is_word(name))?;
        let number = fields.nth(1)?.parse().ok()?;
        Some((name, number))
    })
}

/// Whether a name is one word that cannot be taken for another group's number.
fn is_word(name: &str) -> bool {
    !is_number(name) && !name.contains(|letter: char| letter.is_whitespace() || letter.is_control())
}

/// Whether it is no name, but a number, or nothing.
fn is_number(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "root:x:0:\nisolate:x:990:alice\nsame:x:990:\n12:x:7:\na b:x:8:\nbad:x\n:x:9:\n";

    #[test]
    fn groups_are_named_as_the_machine_names_them() {
        assert_eq!(names(&[990, 0], TEXT), "isolate root");
        assert_eq!(names(&[], TEXT), "");
        assert_eq!(names(&[990], ""), "990");
    }

    #[test]
    fn members_have_one_of_the_groups_that_are_named() {
        let named = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<_>>();
        let isolate = named(&["isolate"]);
        assert!(are_among(&[100, 990], &isolate, TEXT));
        assert!(!are_among(&[100, 0], &isolate, TEXT));
        assert!(!are_among(&[990], &[], TEXT));
        assert!(!are_among(&[990], &isolate, ""));
        assert!(are_among(&[100], &named(&["judges", "100"]), TEXT));
        // The line whose name is 12 is no way to its number.
        assert!(!are_among(&[7], &named(&["12"]), TEXT));
        // Nobody is a member of what has no name.
        assert!(!are_among(&[9, 0], &named(&[""]), TEXT));
        assert!(!are_among(&[27], &named(&["+27", "-27", " 27"]), TEXT));
    }

    #[test]
    fn a_name_that_could_be_taken_for_something_else_is_a_number() {
        assert_eq!(names(&[7, 8, 9], TEXT), "7 8 9");
    }

    #[test]
    fn very_many_groups_are_cut_between_two_names() {
        let many: Vec<u32> = (1_000_000..1_065_536).collect();
        let shown = names(&many, TEXT);
        assert!(shown.len() <= MOST && shown.split(' ').all(|name| name.len() == 7));
    }
}
