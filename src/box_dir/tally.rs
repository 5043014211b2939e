//! Counters, in a file for each user in `<locks>/counts`. They begin anew with each boot, as the
//! locks do.
//!
//! A file is locked while it is changed, and changed by one write within a page: a process that is
//! killed meanwhile leaves the old or the new text. Users have nothing to wait for in each other's
//! files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::BoxDirError;
use super::place::{errno, make_place, open_place};
use crate::sys::file::{IfLocked, lock_exclusively};

/// The name of the folder.
const FOLDER: &str = "counts";
/// The file of all who have none of their own.
const STRANGERS: &str = "strangers";
/// The longest text of a file: a page.
const LONGEST: usize = 4096;
/// How often a file that somebody else has locked is tried again, a millisecond apart.
const TRIES: u32 = 50;

/// Whose counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// This user's.
    User(u32),
    /// This user's if they have any, and otherwise those of strangers.
    UserIfKnown(u32),
}

/// Counters by their names.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Adds to counters. Where there is no directory of locks, nothing is counted.
pub(crate) fn add(locks: &Path, whose: Whose, counts: &[(String, u64)]) -> Result<(), BoxDirError> {
    if open_place(locks)?.is_none() {
        return Ok(());
    }
    let folder = locks.join(FOLDER);
    let place = make_place(&folder)?;
    let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let open = |name: &str, more| openat(&place, name, flags | more, mode);
    let opened = match whose {
        Whose::User(uid) => open(&uid.to_string(), OFlag::O_CREAT),
        Whose::UserIfKnown(uid) => match open(&uid.to_string(), OFlag::empty()) {
            Err(Errno::ENOENT) => open(STRANGERS, OFlag::O_CREAT),
            other => other,
        },
    };
    let file = File::from(opened.map_err(BoxDirError::at("open a file of counters in", &folder))?);
    let failed = |step| {
        let folder = &folder;
        move |error: std::io::Error| BoxDirError::at(step, folder)(errno(&error))
    };
    lock(&file).map_err(failed("lock a file of counters in"))?;
    let mut all = read(&file);
    for (name, more) in counts {
        let count = all.entry(name.clone()).or_default();
        *count = count.saturating_add(*more);
    }
    let text: String = all
        .iter()
        .map(|(name, count)| format!("{name} {count}\n"))
        .collect();
    if text.len() > LONGEST {
        return Err(BoxDirError::at("write counters in", &folder)(Errno::EFBIG));
    }
    // What was there is never longer, unless it was none of ours.
    file.write_all_at(text.as_bytes(), 0)
        .and_then(|()| file.set_len(text.len() as u64))
        .map_err(failed("write counters in"))
}

/// Nobody has the lock for long; whoever does is not waited for.
fn lock(file: &File) -> std::io::Result<()> {
    let mut tries = 0;
    loop {
        match lock_exclusively(file.as_fd(), IfLocked::Refuse) {
            Err(error) if errno(&error) == Errno::EWOULDBLOCK && tries < TRIES => {
                tries += 1;
                sleep(Duration::from_millis(1));
            }
            other => return other,
        }
    }
}

/// The counters in a file. Lines that are none of ours are left out.
fn read(file: &File) -> Counts {
    let mut bytes = [0; LONGEST];
    let length = file.read_at(&mut bytes, 0).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..length]);
    text.lines()
        .filter_map(|line| {
            let (name, count) = line.split_once(' ')?;
            Some((name.to_owned(), count.parse().ok()?))
        })
        .collect()
}

/// All counters: those of users, and of strangers (`None`).
pub(crate) fn all(locks: &Path) -> Vec<(Option<u32>, Counts)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(locks.join(FOLDER))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name();
        let uid = match name.to_str() {
            Some(STRANGERS) => None,
            Some(name) => match name.parse() {
                Ok(uid) => Some(uid),
                Err(_) => continue,
            },
            None => continue,
        };
        if let Ok(file) = File::open(entry.path()) {
            all.push((uid, read(&file)));
        }
    }
    all.sort_by_key(|(uid, _)| uid.map_or(u64::MAX, u64::from));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str) -> [(String, u64); 1] {
        [(name.to_owned(), 1)]
    }

    #[test]
    fn counters_add_up_whoever_adds_at_the_same_time() {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path().join("locks");
        add(&locks, Whose::User(7), &one("runs.ok")).unwrap();
        assert!(!locks.exists());
        fs::create_dir(&locks).unwrap();
        assert!(all(&locks).is_empty());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        add(&locks, Whose::User(7), &one("runs.ok")).unwrap();
                    }
                });
            }
        });
        add(&locks, Whose::UserIfKnown(7), &one("refused.polkit")).unwrap();
        add(&locks, Whose::UserIfKnown(8), &one("refused.polkit")).unwrap();
        add(&locks, Whose::UserIfKnown(9), &one("refused.polkit")).unwrap();
        let all = all(&locks);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].0, Some(7));
        assert_eq!((all[0].1["runs.ok"], all[0].1["refused.polkit"]), (200, 1));
        assert_eq!((all[1].0, all[1].1["refused.polkit"]), (None, 2));
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        add(dir.path(), Whose::User(7), &one("a")).unwrap();
        let path = dir.path().join("counts/7");
        fs::write(&path, vec![0xff; 9000]).unwrap();
        add(dir.path(), Whose::User(7), &one("a")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a 1\n");
    }
}
