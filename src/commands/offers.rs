//! What a shell offers of boxes when somebody presses the tabulator.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::config::{self, ConfigSource};

/// The numbers of the caller's boxes, as far as they can be seen; all of them for root.
pub(crate) fn boxes() -> Vec<String> {
    let Ok(loaded) = config::load(&ConfigSource::new(None)) else {
        return Vec::new();
    };
    let uid = nix::unistd::geteuid();
    let entries = fs::read_dir(&loaded.settings.boxes.root);
    let entries = entries.into_iter().flatten().flatten();
    let is_own = |entry: &fs::DirEntry| {
        let meta = fs::metadata(entry.path().join("box"));
        uid.is_root() || meta.is_ok_and(|meta| meta.uid() == uid.as_raw())
    };
    let names = entries.filter(is_own).map(|entry| entry.file_name());
    let names = names.filter_map(|name| name.into_string().ok());
    let mut numbers: Vec<u32> = names.filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
        .into_iter()
        .map(|number| number.to_string())
        .collect()
}
