//! What polkit's answers rest on beside the question and the process: files of rules, of actions
//! and of users. Where one of them has changed, an earlier answer says nothing any more.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where polkit has its rules, and the actions with what holds where no rule says anything
/// (polkit(8); those in /etc since 126). The last two are NixOS's.
const FOLDERS: [&str; 10] = [
    "/etc/polkit-1/rules.d",
    "/run/polkit-1/rules.d",
    "/usr/local/share/polkit-1/rules.d",
    "/usr/share/polkit-1/rules.d",
    "/etc/polkit-1/actions",
    "/run/polkit-1/actions",
    "/usr/local/share/polkit-1/actions",
    "/usr/share/polkit-1/actions",
    "/run/current-system/sw/share/polkit-1/rules.d",
    "/run/current-system/sw/share/polkit-1/actions",
];

/// Who is in a group (group(5), passwd(5), and polkit's isInNetGroup).
const FILES: [&str; 3] = ["/etc/group", "/etc/passwd", "/etc/netgroup"];

/// In this time polkit has surely read a file that has changed: it watches its folders, and looks
/// every four seconds for those that are not there.
const READ: Duration = Duration::from_secs(5);

/// A text that is another one when any of this has changed; `None` when something has changed so
/// lately that polkit may still answer by what was there before, or cannot be looked at. Users of
/// other databases are not seen, nor are rules of other forms (pklocalauthority(8)).
pub(crate) fn grounds() -> Option<Vec<u8>> {
    let mut found = Grounds::default();
    for folder in FOLDERS {
        found.note_folder(Path::new(folder)).ok()?;
    }
    for file in FILES {
        found.note_file(Path::new(file)).ok()?;
    }
    found.settled(SystemTime::now())
}

/// What was found.
#[derive(Debug, Default)]
struct Grounds {
    text: Vec<u8>,
    /// When the last change was, since 1970.
    changed: Duration,
}

impl Grounds {
    fn note_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.note_file(folder)?;
        let Some(entries) = if_there(fs::read_dir(folder))? else {
            return Ok(());
        };
        let names: io::Result<Vec<_>> = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect();
        let mut names = names?;
        names.sort();
        for name in names {
            self.note_file(&folder.join(name))?;
        }
        Ok(())
    }

    /// Notes which file it is, and when it was changed last: not even its owner sets the latter
    /// (inode(7), ctime). Where it is a link, that and what polkit reads by it. What is not there
    /// is no less a state.
    fn note_file(&mut self, file: &Path) -> io::Result<()> {
        self.text.extend(file.as_os_str().as_bytes());
        for found in [fs::symlink_metadata(file), fs::metadata(file)] {
            self.text.push(b'\0');
            let Some(found) = if_there(found)? else {
                continue;
            };
            let which = [found.dev(), found.ino(), found.size()].map(u64::to_ne_bytes);
            let when = [found.ctime(), found.ctime_nsec()].map(i64::to_ne_bytes);
            self.text.extend(which.concat());
            self.text.extend(when.concat());
            let seconds = found.ctime().try_into().unwrap_or_default();
            let nanoseconds = found.ctime_nsec().try_into().unwrap_or_default();
            let changed = Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds);
            self.changed = self.changed.max(changed);
        }
        Ok(())
    }

    /// The text, unless something was changed in the last seconds or, where the clock was set back,
    /// in times to come.
    fn settled(self, now: SystemTime) -> Option<Vec<u8>> {
        let age = now.duration_since(UNIX_EPOCH + self.changed).ok()?;
        (age > READ).then_some(self.text)
    }
}

/// What was found, or that it is not there. Nothing follows from another error.
fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(folder: &Path) -> Vec<u8> {
        let mut found = Grounds::default();
        found.note_folder(folder).unwrap();
        found.text
    }

    #[test]
    fn every_change_of_a_folder_of_rules_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("rules.d");
        let mut seen = vec![noted(&folder)];
        let mut differs = |what: &str| {
            let now = noted(&folder);
            assert!(!seen.contains(&now), "{what}");
            assert_eq!(noted(&folder), now, "{what}");
            seen.push(now);
        };
        fs::create_dir(&folder).unwrap();
        differs("it came");
        fs::write(folder.join("10.rules"), "return 1").unwrap();
        differs("a file came");
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.join("20.rules")).unwrap();
        differs("a link came");
        fs::write(&elsewhere, "return 2").unwrap();
        differs("what it leads to has another content");
        fs::write(folder.join("10.rules"), "return 33").unwrap();
        differs("a file has another content");
        let other = dir.path().join("other");
        fs::write(&other, "return 2").unwrap();
        fs::remove_file(folder.join("20.rules")).unwrap();
        std::os::unix::fs::symlink(&other, folder.join("20.rules")).unwrap();
        differs("it leads elsewhere");
        fs::remove_file(folder.join("20.rules")).unwrap();
        differs("the link went");
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(noted(&folder), seen[0]);
    }

    #[test]
    fn what_was_changed_just_now_may_not_count_yet() {
        let at = |milliseconds| UNIX_EPOCH + Duration::from_millis(milliseconds);
        let settled = |now| {
            let found = Grounds {
                text: vec![1],
                changed: Duration::from_millis(1_000_500),
            };
            found.settled(now).is_some()
        };
        for (now, is_settled) in [
            (999_000, false),
            (1_000_500, false),
            (1_005_500, false),
            (1_005_501, true),
        ] {
            assert_eq!(settled(at(now)), is_settled, "{now}");
        }
        let dir = tempfile::tempdir().unwrap();
        let mut found = Grounds::default();
        found.note_file(dir.path()).unwrap();
        assert_eq!(found.settled(SystemTime::now()), None);
    }
}
