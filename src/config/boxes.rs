//! `[boxes]`: the ids of a subid user, and the check that the values fit each other.

use super::error::{ConfigError, Place};
use super::inputs::Inputs;
use super::settings::BoxSettings;
use super::subid::SubIds;
use super::table::{Key, Table};
use super::value::COUNT_MAX;
use crate::way::{self, Rootless};

const ROOT: Key = Key::of(Table::Boxes, "root");
const LOCKS: Key = Key::of(Table::Boxes, "locks");
const COUNT: Key = Key::of(Table::Boxes, "count");
const FIRST_UID: Key = Key::of(Table::Boxes, "first_uid");
const FIRST_GID: Key = Key::of(Table::Boxes, "first_gid");
const SUBID_USER: Key = Key::of(Table::Boxes, "subid_user");

/// All ids are below this: 2^32-1 means "leave it" to chown(2) and setresuid(2), and one id is kept
/// in between.
const ID_END: u64 = u32::MAX as u64 - 1;

impl Default for BoxSettings {
    fn default() -> Self {
        match way::rootless() {
            None => Self::of_root(),
            Some(rootless) => Self::of_user(rootless),
        }
    }
}

impl BoxSettings {
    fn of_root() -> Self {
        Self {
            root: "/var/local/lib/isolate".into(),
            locks: "/run/isolate/locks".into(),
            count: 1000,
            first_uid: 60_000,
            first_gid: 60_000,
            subid_user: None,
            only_root_inits: false,
        }
    }

    /// The same as root's as far as the user's ids go, otherwise their last ones.
    fn of_user(rootless: &Rootless) -> Self {
        let same = Self::of_root();
        let count = same.count.min(rootless.ids);
        let first = same.first_uid.min(rootless.ids - count + 1);
        Self {
            root: rootless.boxes.clone(),
            locks: rootless.locks.clone(),
            count,
            first_uid: first,
            first_gid: first,
            ..same
        }
    }
}

/// Takes the ids of the subid user, if there is one. `look_up` finds them.
pub(super) fn take_subids(
    boxes: &mut BoxSettings,
    inputs: &Inputs,
    look_up: impl FnOnce(&str) -> Result<SubIds, ConfigError>,
) -> Result<(), ConfigError> {
    if let (Some(user), Some(place)) = (&boxes.subid_user, inputs.place(SUBID_USER)) {
        refuse_both(inputs, place)?;
        let found = look_up(user).map_err(|error| error.behind(SUBID_USER, place));
        let SubIds { uids, gids } = found?;
        let most = uids.count.min(gids.count).min(COUNT_MAX);
        match inputs.place(COUNT) {
            None => boxes.count = most,
            Some(_) if boxes.count <= most => {}
            Some(place) => {
                let text = format!(
                    "{} boxes, but the ranges of user '{user}' have {} uids and {} gids; at most {most} are allowed",
                    boxes.count, uids.count, gids.count
                );
                return Err(place.key_error(COUNT, text));
            }
        }
        boxes.first_uid = uids.first;
        boxes.first_gid = gids.first;
    }
    Ok(())
}

/// Refuses the first ids beside a subid user, who takes their place.
fn refuse_both(inputs: &Inputs, place: &Place) -> Result<(), ConfigError> {
    let beside = [FIRST_UID, FIRST_GID]
        .into_iter()
        .find_map(|key| Some((key, inputs.place(key)?)));
    let Some((key, other)) = beside else {
        return Ok(());
    };
    let text = format!(
        "stands beside {key} at {other}; either subid_user or first_uid and first_gid are allowed"
    );
    Err(place.key_error(SUBID_USER, text))
}

/// Checks what must hold between the values, whichever files they are from.
pub(super) fn check(boxes: &BoxSettings, inputs: &Inputs) -> Result<(), ConfigError> {
    // The defaults fit each other, so one of the keys was set.
    let blame = |keys: &[Key], text: String| {
        let found = keys.iter().find_map(|key| Some((key, inputs.place(*key)?)));
        found.map_or(Ok(()), |(key, place)| Err(place.key_error(key, text)))
    };
    for (key, name, first) in [
        (FIRST_UID, "uid", boxes.first_uid),
        (FIRST_GID, "gid", boxes.first_gid),
    ] {
        let end = u64::from(first) + u64::from(boxes.count);
        if first == 0 || boxes.count == 0 || end >= ID_END {
            let text = format!(
                "{} boxes from {name} {first} on cannot be; at least one box, a first {name} above 0 and \
                 first {name} + count below {ID_END} are allowed",
                boxes.count
            );
            blame(&[key, SUBID_USER, COUNT], text)?;
        }
    }
    if boxes.root != boxes.locks
        && (boxes.root.starts_with(&boxes.locks) || boxes.locks.starts_with(&boxes.root))
    {
        let text = format!(
            "boxes.root '{}' and boxes.locks '{}' lie one in the other; two directories side by side are allowed",
            boxes.root.display(),
            boxes.locks.display()
        );
        blame(&[LOCKS, ROOT], text)?;
    }
    if boxes.root == boxes.locks {
        let text = format!(
            "boxes.root and boxes.locks are both '{}'; two different directories are allowed",
            boxes.root.display()
        );
        blame(&[LOCKS, ROOT], text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::resolve::resolve_text;

    fn refusal(text: &str) -> String {
        resolve_text(text).unwrap_err()
    }

    #[test]
    fn a_subid_user_takes_the_place_of_the_first_ids() {
        let boxes = resolve_text("boxes.subid_user = 'isolate'").unwrap().boxes;
        assert_eq!(
            (boxes.first_uid, boxes.first_gid, boxes.count),
            (200_000, 300_000, 3000)
        );
        let beside = refusal("[boxes]\nfirst_gid = 5\nsubid_user = 'isolate'\n");
        assert!(
            beside.starts_with("f:3: boxes.subid_user: stands beside boxes.first_gid at f:2; "),
            "{beside}"
        );
        let empty = refusal("boxes.subid_user = 1000");
        assert!(
            empty.starts_with("f:1: boxes.subid_user: 0 boxes from uid 0"),
            "{empty}"
        );
        for user in ["''", "'a:b'", "true", "[1]"] {
            refusal(&format!("boxes.subid_user = {user}"));
        }
    }

    #[test]
    fn beside_a_subid_user_the_count_takes_a_part_of_the_ranges() {
        let with = |count: &str| {
            resolve_text(&format!(
                "[boxes]\nsubid_user = 'isolate'\ncount = {count}\n"
            ))
        };
        let boxes = with("5").unwrap().boxes;
        assert_eq!((boxes.first_uid, boxes.count), (200_000, 5));
        assert_eq!(with("3000").unwrap().boxes.count, 3000);
        assert_eq!(
            with("3001").unwrap_err(),
            "f:3: boxes.count: 3001 boxes, but the ranges of user 'isolate' have 5000 uids and 3000 gids; \
             at most 3000 are allowed"
        );
    }

    #[test]
    fn ids_that_run_over_the_end_name_the_key_that_is_set() {
        assert!(resolve_text("[boxes]\ncount = 2147483647\nfirst_uid = 1").is_ok());
        assert!(resolve_text("[boxes]\ncount = 1\nfirst_uid = 4294967292").is_ok());
        for (text, start) in [
            (
                "[boxes]\ncount = 1\nfirst_uid = 4294967293",
                "f:3: boxes.first_uid: 1 boxes from uid",
            ),
            (
                "[boxes]\ncount = 2147483647\nfirst_gid = 2147483647",
                "f:3: boxes.first_gid: 2147483647 boxes",
            ),
            (
                "[boxes]\nfirst_uid = 0",
                "f:2: boxes.first_uid: 0 is out of range; whole numbers from 1 to",
            ),
            (
                "[boxes]\ncount = 0",
                "f:2: boxes.count: 0 is out of range; whole numbers from 1 to 2147483647",
            ),
            (
                "[boxes]\nlocks = '/var/local/lib/isolate/0'",
                "f:2: boxes.locks: boxes.root '/var/local/lib/isolate' and boxes.locks",
            ),
            (
                "[boxes]\nlocks = '/var/local/lib/isolate/'",
                "f:2: boxes.locks: boxes.root and boxes.locks are both",
            ),
        ] {
            let error = refusal(text);
            assert!(error.starts_with(start), "{error}");
        }
    }
}
