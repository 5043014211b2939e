//! What polkit's answers rest on beside the question and the process: files of rules, of actions
//! and of users. Where one of them has changed, an earlier answer says nothing any more.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where polkit reads its rules from (polkit(8)).
const RULES: [&str; 4] = [
    "/etc/polkit-1/rules.d",
    "/run/polkit-1/rules.d",
    "/usr/local/share/polkit-1/rules.d",
    "/usr/share/polkit-1/rules.d",
];

/// Who is in a group (group(5), passwd(5)), and what holds where no rule says anything.
const FILES: [&str; 3] = [
    "/etc/group",
    "/etc/passwd",
    "/usr/share/polkit-1/actions/io.github.isolate_run.policy",
];

/// In this time polkit has surely read a file that has changed: it watches its folders.
const READ: Duration = Duration::from_secs(5);

/// A text that is another one when any of this has changed; `None` when something has changed so
/// lately that polkit may still answer by what was there before. Users of other databases are not
/// seen.
pub(crate) fn grounds() -> Option<Vec<u8>> {
    let mut found = Grounds::default();
    for folder in RULES {
        // What is not there is no less a state.
        found.text.extend(folder.as_bytes());
        found.note_folder(Path::new(folder)).ok();
    }
    for file in FILES {
        found.note_file(Path::new(file));
    }
    found.settled(SystemTime::now())
}

/// What was found.
#[derive(Debug, Default)]
struct Grounds {
    text: Vec<u8>,
    /// When the last change was, in seconds since 1970.
    changed: i64,
}

impl Grounds {
    fn note_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.note_file(folder);
        let names: io::Result<Vec<_>> = fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect();
        let mut names = names?;
        names.sort();
        for name in names {
            self.text.extend(name.as_bytes());
            self.note_file(&folder.join(name));
        }
        Ok(())
    }

    /// Notes which file it is, and when it was changed last: not even its owner sets the latter
    /// (inode(7), ctime).
    fn note_file(&mut self, file: &Path) {
        self.text.push(b'\0');
        // Where it is a link, what polkit reads is meant.
        let Ok(found) = fs::metadata(file) else {
            return;
        };
        let which = [found.dev(), found.ino(), found.size()].map(u64::to_ne_bytes);
        let when = [found.ctime(), found.ctime_nsec()].map(i64::to_ne_bytes);
        self.text.extend(which.concat());
        self.text.extend(when.concat());
        self.changed = self.changed.max(found.ctime());
    }

    /// The text, unless something was changed in the last seconds or, where the clock was set back,
    /// in times to come.
    fn settled(self, now: SystemTime) -> Option<Vec<u8>> {
        let since = Duration::from_secs(self.changed.try_into().ok()?);
        let age = now.duration_since(UNIX_EPOCH + since).ok()?;
        (age > READ).then_some(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(folder: &Path) -> Vec<u8> {
        let mut found = Grounds::default();
        found.note_folder(folder).ok();
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
        fs::remove_file(folder.join("20.rules")).unwrap();
        differs("the link went");
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(noted(&folder), seen[0]);
    }

    #[test]
    fn what_was_changed_just_now_may_not_count_yet() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let settled = |now| {
            let found = Grounds {
                text: vec![1],
                changed: 1000,
            };
            found.settled(now).is_some()
        };
        for (now, is_settled) in [(999, false), (1000, false), (1005, false), (1006, true)] {
            assert_eq!(settled(at(now)), is_settled, "{now}");
        }
        let dir = tempfile::tempdir().unwrap();
        let mut found = Grounds::default();
        found.note_file(dir.path());
        assert_eq!(found.settled(SystemTime::now()), None);
    }
}
