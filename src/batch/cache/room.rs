//! Makes room in a cache. What cannot be looked at or removed stays: that ends no job.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::tally::Tally;
use super::{Digest, is_idle};
use crate::quantity::Bytes;
use crate::sys::file::is_at;

/// An entry, as it is found.
struct Found {
    used: SystemTime,
    size: u64,
    path: PathBuf,
}

/// How much is removed at once where the disk is full, in bytes.
const AT_ONCE: u64 = 16 << 20;

/// Removes what nobody uses after an entry of this size was added: what others left half, and of
/// the entries as many as are needed. They are looked at if there may be too much.
pub(super) fn make(dir: &Path, most: Option<Bytes>, added: u64) {
    remove_halves(dir);
    let Some(Bytes(most)) = most else {
        return;
    };
    let mut tally = Tally::open(dir);
    let fits = tally.as_mut().map(|tally| tally.add(added, most));
    if matches!(fits, Ok(Ok(true))) {
        return;
    }
    let mut sum: u64 = 0;
    let all = all(dir).inspect(|found| sum += found.size);
    for Found { size, path, .. } in by_last_use(all) {
        if sum <= most {
            break;
        }
        if remove_if_idle(&path) {
            sum -= size;
        }
    }
    // What is not known is counted the next time.
    tally.and_then(|mut tally| tally.set(sum)).ok();
}

/// Removes what nobody uses on a disk that is full; whether that gives any room.
pub(super) fn make_on_disk(dir: &Path) -> bool {
    remove_halves(dir);
    let mut freed = 0;
    for Found { size, path, .. } in by_last_use(all(dir)) {
        if freed >= AT_ONCE {
            break;
        }
        if remove_if_idle(&path) {
            // An empty one has an inode.
            freed += size.max(1);
        }
    }
    freed > 0
}

fn remove_halves(dir: &Path) {
    for path in entries(&dir.join("new")) {
        if name_of(&path).is_some_and(is_half) {
            remove_if_idle(&path);
        }
    }
}

/// All entries. Whatever else is there is somebody else's: the directory is theirs to choose.
fn all(dir: &Path) -> impl Iterator<Item = Found> + use<> {
    let all = entries(&dir.join("sha256")).flat_map(|part| entries(&part));
    all.filter(|path| is_entry(path))
        .filter_map(|path| look(path).ok())
}

/// First what was not used for longest.
fn by_last_use(all: impl Iterator<Item = Found>) -> Vec<Found> {
    let mut all: Vec<Found> = all.collect();
    all.sort_by_key(|found| found.used);
    all
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

/// The last name of a path.
fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// Whether this is where the cache has an entry: the names are the parts of a digest.
fn is_entry(path: &Path) -> bool {
    let parts = path.parent().and_then(name_of).zip(name_of(path));
    parts.is_some_and(|(first, rest)| {
        let digest = Digest::parse(&format!("{first}{rest}"));
        digest.is_some_and(|digest| digest.parts() == (first, rest))
    })
}

/// The name of a file that is being added: two numbers.
fn is_half(name: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    name.split_once('-')
        .is_some_and(|(pid, number)| is_number(pid) && is_number(number))
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
    // Somebody may have put another one in its place, which is in use.
    file.is_ok_and(|file| is_idle(&file) && is_at(&file, path) && fs::remove_file(path).is_ok())
}
