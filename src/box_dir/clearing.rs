//! Deletes what boxes have left ([`leftover`](super::leftover)): a part of each in turn, again and
//! again, so that a large one, or one that somebody goes on filling, keeps none of the others.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::BoxDirError;
use super::leftover::{Name, Place};
use super::open::open_dir;
use super::place::errno;
use super::removal::{Mounts, Removal};
use super::tree::{BUFFER, walk};
use crate::sys::file::{dir_entries, read_dir_entries};

/// How much is done about each leftover.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// How many entries it may have in its turn.
    entries: u64,
    /// How many turns it may take.
    turns: u32,
    /// How many entries a turn may have at most, where they are needed for the way down.
    most: u64,
}

/// A turn takes some 200 ms. A leftover of more than a hundred million entries is one that somebody
/// fills; so is one that is deeper than many millions of levels.
const PACE: Pace = Pace {
    entries: 20_000,
    turns: 5_000,
    most: 50_000_000,
};

/// What became of leftovers.
#[derive(Debug, Default)]
pub(crate) struct Cleared {
    /// How many are gone.
    pub(crate) gone: usize,
    /// How many files and directories that were.
    pub(crate) entries: u64,
    /// What could not be deleted, and why.
    pub(crate) failures: Vec<BoxDirError>,
}

/// Which leftovers are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that are there when it begins: where boxes come and go, others may never end.
    Present,
    /// Also those that come meanwhile.
    Coming,
}

/// Deletes what boxes in `root` have left. `None`: there is no place for leftovers.
pub(crate) fn clear_leftovers(root: &Path, which: Which) -> Result<Option<Cleared>, BoxDirError> {
    let place = Place::open(root)?;
    place.map(|place| clear(&place, PACE, which)).transpose()
}

/// How many leftovers wait. `None`: there is no place for them.
pub(crate) fn count_leftovers(root: &Path) -> Result<Option<usize>, BoxDirError> {
    let place = Place::open(root)?;
    place.map(|place| Ok(names(&place)?.len())).transpose()
}

/// What was done about a leftover, and is to be done next.
enum Effort {
    /// So many turns, and the entries that the next one may have.
    Turns(u32, u64),
    /// It stays.
    Failed,
}

fn clear(place: &Place, pace: Pace, which: Which) -> Result<Cleared, BoxDirError> {
    let mut cleared = Cleared::default();
    let mut efforts: BTreeMap<CString, Effort> = BTreeMap::new();
    let present = names(place)?;
    let mut names = present.clone();
    loop {
        // Another one may have the name by now.
        efforts.retain(|name, _| names.binary_search(name).is_ok());
        let mut is_done = true;
        for name in names {
            let effort = efforts
                .entry(name.clone())
                .or_insert(Effort::Turns(0, pace.entries));
            let Effort::Turns(turns, entries) = effort else {
                continue;
            };
            is_done = false;
            match take_turn(place, &name, entries, &mut cleared) {
                Ok(true) => cleared.gone += 1,
                Ok(false) if *turns + 1 < pace.turns && *entries <= pace.most => *turns += 1,
                Ok(false) => {
                    *effort = Effort::Failed;
                    let path = path(place, &name);
                    cleared.failures.push(BoxDirError::Refilled { path });
                }
                Err(error) => {
                    *effort = Effort::Failed;
                    cleared.failures.push(error);
                }
            }
        }
        if is_done {
            return Ok(cleared);
        }
        names = self::names(place)?;
        if which == Which::Present {
            names.retain(|name| present.binary_search(name).is_ok());
        }
    }
}

/// Deletes a part of a leftover; whether it is gone. When no entry could be removed, the next turn
/// needs more of them to come down to where one can.
fn take_turn(
    place: &Place,
    name: &CString,
    entries: &mut u64,
    cleared: &mut Cleared,
) -> Result<bool, BoxDirError> {
    let path = path(place, name);
    if Name::parse(name.to_bytes()).is_none() {
        let reason = "is nothing that a box has left: take it away";
        return Err(BoxDirError::Unfit { path, reason });
    }
    let dir = match open_dir(place.fd.as_fd(), name) {
        Err(Errno::ENOENT) => return Ok(true),
        dir => dir.map_err(BoxDirError::at("open", &path))?,
    };
    let mut removal = Removal::of(Mounts::Detach, *entries);
    let walked = walk(dir.as_fd(), &path, &mut removal);
    cleared.entries += removal.removed();
    walked?;
    if removal.is_spent() {
        if removal.removed() == 0 {
            *entries = entries.saturating_mul(2);
        }
        return Ok(false);
    }
    match unlinkat(&place.fd, name.as_c_str(), UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        // Not everything was there when the walk came by.
        Err(Errno::ENOTEMPTY) => Ok(false),
        Err(errno) => Err(BoxDirError::at("remove", &path)(errno)),
    }
}

fn path(place: &Place, name: &CString) -> PathBuf {
    place.path.join(OsStr::from_bytes(name.to_bytes()))
}

/// All names in the place: there are [few](super::leftover) for each user.
fn names(place: &Place) -> Result<Vec<CString>, BoxDirError> {
    let dir = open_dir(place.fd.as_fd(), c".").map_err(BoxDirError::at("open", &place.path))?;
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut names = Vec::new();
    loop {
        read_dir_entries(dir.as_fd(), &mut buffer)
            .map_err(|error| BoxDirError::at("list", &place.path)(errno(&error)))?;
        if buffer.is_empty() {
            names.sort_unstable();
            return Ok(names);
        }
        names.extend(dir_entries(&buffer).map(|entry| entry.name.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const SHORT: Pace = Pace {
        entries: 10,
        turns: 4,
        most: 1_000,
    };

    /// A folder with the place in it, and the root of the boxes.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boxes.removed");
        fs::create_dir(&path).unwrap();
        set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        let root = dir.path().join("boxes");
        (dir, root)
    }

    fn make(root: &Path, name: &str, files: u32) {
        let path = root.with_extension("removed").join(name).join("box");
        fs::create_dir_all(&path).unwrap();
        for number in 0..files {
            fs::write(path.join(number.to_string()), "").unwrap();
        }
    }

    #[test]
    fn everything_goes_and_a_second_look_finds_nothing() {
        let (_dir, root) = place();
        make(&root, "1000.7", 100);
        make(&root, "0.1", 3);
        symlink("/etc", root.with_extension("removed").join("0.1/box/link")).unwrap();
        assert_eq!(count_leftovers(&root).unwrap(), Some(2));
        let cleared = clear_leftovers(&root, Which::Coming).unwrap().unwrap();
        assert_eq!((cleared.gone, cleared.entries), (2, 106));
        assert!(cleared.failures.is_empty(), "{cleared:?}");
        let cleared = clear_leftovers(&root, Which::Coming).unwrap().unwrap();
        assert_eq!((cleared.gone, cleared.entries), (0, 0));
        assert!(fs::metadata("/etc/passwd").is_ok());
        let nowhere = root.join("none");
        assert!(clear_leftovers(&nowhere, Which::Present).unwrap().is_none());
    }

    #[test]
    fn each_gets_a_part_in_its_turn_and_one_without_end_is_named() {
        let (_dir, root) = place();
        make(&root, "1.0", 1_000);
        make(&root, "2.0", 5);
        make(&root, "3.0", 25);
        let place = Place::open(&root).unwrap().unwrap();
        let cleared = clear(&place, SHORT, Which::Coming).unwrap();
        assert_eq!(cleared.gone, 2);
        let [error] = cleared.failures.as_slice() else {
            panic!("{cleared:?}");
        };
        assert!(matches!(error, BoxDirError::Refilled { .. }), "{error}");
        assert!(error.to_string().contains("1.0"), "{error}");
        // What was not done is left for another time.
        assert_eq!(count_leftovers(&root).unwrap(), Some(1));
        let again = clear_leftovers(&root, Which::Coming).unwrap().unwrap();
        assert_eq!((again.gone, again.failures.len()), (1, 0));
    }

    #[test]
    fn one_that_is_deeper_than_a_turn_goes_as_well() {
        let (_dir, root) = place();
        let deep = "d/".repeat(50);
        fs::create_dir_all(root.with_extension("removed").join("0.3").join(deep)).unwrap();
        let place = Place::open(&root).unwrap().unwrap();
        let cleared = clear(&place, SHORT, Which::Coming).unwrap();
        assert_eq!((cleared.gone, cleared.entries), (1, 50), "{cleared:?}");
    }

    #[test]
    fn what_no_box_has_left_is_named_and_stays() {
        let (_dir, root) = place();
        make(&root, "notes", 1);
        make(&root, "5.5", 1);
        fs::write(root.with_extension("removed").join("6.6"), "").unwrap();
        let cleared = clear_leftovers(&root, Which::Coming).unwrap().unwrap();
        assert_eq!((cleared.gone, cleared.failures.len()), (1, 2));
        assert!(root.with_extension("removed").join("notes/box/0").exists());
        let open = Permissions::from_mode(0o755);
        set_permissions(root.with_extension("removed"), open).unwrap();
        let error = clear_leftovers(&root, Which::Coming)
            .unwrap_err()
            .to_string();
        assert!(error.contains("chmod 0700"), "{error}");
    }
}
