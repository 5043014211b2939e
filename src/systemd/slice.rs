//! Slices: the tree of control groups that holds the scopes.

use std::path::PathBuf;

use crate::way::{self, Rootless};

/// The cgroup of the systemd that is asked, below the mount point: a user's one is a service of the
/// machine's (user@.service(5)).
pub(crate) fn manager_path() -> PathBuf {
    way::rootless().map_or_else(PathBuf::new, |Rootless { uid, .. }| {
        format!("user.slice/user-{uid}.slice/user@{uid}.service").into()
    })
}

/// The cgroup of a slice, below that of its systemd: `a-b.slice` is in `a.slice`
/// (systemd.slice(5)).
pub(crate) fn slice_path(slice: &str) -> PathBuf {
    let stem = slice.strip_suffix(".slice").unwrap_or(slice);
    stem.match_indices('-')
        .map(|(at, _)| &stem[..at])
        .chain([stem])
        .map(|part| format!("{part}.slice"))
        .collect()
}

/// The slice for a user's runs, in the slice of all. The kernel divides CPU time between slices, so
/// a user with many runs gets no more than one with a single run (systemd.slice(5),
/// systemd.resource-control(5), CPUWeight=).
pub(crate) fn slice_of_user(slice: &str, uid: u32) -> String {
    match slice.strip_suffix(".slice") {
        // The names of slices below the root slice do not begin with its name.
        None | Some("-") => format!("isolate-u{uid}.slice"),
        Some(stem) => format!("{stem}-u{uid}.slice"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slice_of_a_user_is_in_the_slice_of_all() {
        assert_eq!(slice_of_user("isolate.slice", 7), "isolate-u7.slice");
        assert_eq!(slice_of_user("a-b.slice", 7), "a-b-u7.slice");
        assert_eq!(slice_of_user("-.slice", 7), "isolate-u7.slice");
    }

    #[test]
    fn a_slice_is_in_the_slices_that_its_name_begins_with() {
        assert_eq!(slice_path("isolate.slice"), PathBuf::from("isolate.slice"));
        assert_eq!(
            slice_path("a-b-c.slice"),
            PathBuf::from("a.slice/a-b.slice/a-b-c.slice")
        );
    }
}
