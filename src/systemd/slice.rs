//! Slices: the tree of control groups that holds the scopes.

use std::path::PathBuf;

/// The cgroup of a slice: `a-b.slice` is in `a.slice` (systemd.slice(5)).
pub(crate) fn slice_path(slice: &str) -> PathBuf {
    let stem = slice.strip_suffix(".slice").unwrap_or(slice);
    stem.match_indices('-')
        .map(|(at, _)| &stem[..at])
        .chain([stem])
        .map(|part| format!("{part}.slice"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_in_the_slices_that_its_name_begins_with() {
        assert_eq!(slice_path("isolate.slice"), PathBuf::from("isolate.slice"));
        assert_eq!(
            slice_path("a-b-c.slice"),
            PathBuf::from("a.slice/a-b.slice/a-b-c.slice")
        );
    }
}
