//! Makes room in a cache. What cannot be looked at or removed stays: that ends no job.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::is_idle;
use crate::quantity::Bytes;

/// An entry, as it is found.
struct Found {
    used: SystemTime,
    size: u64,
    path: PathBuf,
}

/// Removes what nobody uses: what others left half, and of the entries as many as are needed.
pub(super) fn make(dir: &Path, most: Option<Bytes>) {
    for path in entries(&dir.join("new")) {
        remove_if_idle(&path);
    }
    let Some(Bytes(most)) = most else {
        return;
    };
    let all = entries(&dir.join("sha256")).flat_map(|part| entries(&part));
    let mut all: Vec<Found> = all.filter_map(|path| look(path).ok()).collect();
    let mut sum: u64 = all.iter().map(|found| found.size).sum();
    all.sort_by_key(|found| found.used);
    for Found { size, path, .. } in all {
        if sum <= most {
            return;
        }
        if remove_if_idle(&path) {
            sum -= size;
        }
    }
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

fn look(path: PathBuf) -> io::Result<Found> {
    let found = fs::symlink_metadata(&path)?;
    Ok(Found {
        used: found.modified()?,
        size: found.len(),
        path,
    })
}

/// Whoever finds it meanwhile sees that it has no name any more.
fn remove_if_idle(path: &Path) -> bool {
    let file: io::Result<File> = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path);
    file.is_ok_and(|file| is_idle(&file) && fs::remove_file(path).is_ok())
}
