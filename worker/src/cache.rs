//! Files by their content, in the directory that `isolate-run batch` looks in, too: what is put
//! there is found by it, and what one of us uses the other one does not remove.
//!
//! ```text
//! DIR/sha256/ab/cd…   an entry; whoever uses it has it locked (flock(2), shared)
//! DIR/new/…           one that is being added
//! ```

use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use nix::fcntl::{Flock, FlockArg};

/// The mode of entries: programs of other users read and execute them where they are shown.
const MODE: u32 = 0o555;

/// The directory.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    most: u64,
    number: AtomicU64,
}

/// An entry that stays for as long as this is there.
#[derive(Debug)]
pub(crate) struct Entry {
    /// In bytes.
    pub(crate) size: u64,
    _file: Flock<File>,
}

/// A file that is to become an entry.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) place: PathBuf,
    pub(crate) file: File,
}

impl Cache {
    /// The one in this directory, which may hold `most` bytes.
    pub(crate) fn new(dir: PathBuf, most: u64) -> Self {
        Self {
            dir,
            most,
            number: AtomicU64::new(0),
        }
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn place(&self, digest: &str) -> PathBuf {
        let (first, rest) = digest.split_at(2.min(digest.len()));
        self.dir.join("sha256").join(first).join(rest)
    }

    /// Finds an entry, which is in use from then on.
    ///
    /// # Errors
    ///
    /// The directory does not work.
    pub(crate) fn find(&self, digest: &str) -> io::Result<Option<Entry>> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(nix::libc::O_NOFOLLOW);
        let file = match options.open(self.place(digest)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let file = Flock::lock(file, FlockArg::LockShared).map_err(|(_, errno)| errno)?;
        let metadata = file.metadata()?;
        if metadata.nlink() == 0 {
            // It has just been removed.
            return Ok(None);
        }
        file.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
        Ok(Some(Entry {
            size: metadata.len(),
            _file: file,
        }))
    }

    /// A place for a new one.
    ///
    /// # Errors
    ///
    /// The directory does not work.
    pub(crate) fn begin(&self) -> io::Result<New> {
        let dir = self.dir.join("new");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let place = dir.join(format!("worker-{}-{number}", std::process::id()));
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600);
        let file = options.open(&place)?;
        Ok(New { place, file })
    }

    /// Makes an entry of it. Its digest must have been verified.
    ///
    /// # Errors
    ///
    /// The directory does not work.
    pub(crate) fn add(&self, digest: &str, new: &New) -> io::Result<Entry> {
        let place = self.place(digest);
        let parent = place.parent().unwrap_or(&self.dir);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
        new.file.set_permissions(Permissions::from_mode(MODE))?;
        new.file.sync_data()?;
        match fs::hard_link(&new.place, &place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            linked => linked?,
        }
        fs::remove_file(&new.place)?;
        let entry = self.find(digest)?;
        self.make_room()?;
        entry
            .ok_or_else(|| io::Error::other("the cache removed it at once: cache_max is too small"))
    }

    /// How much is in it, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.entries().iter().map(|(_, _, size)| size).sum()
    }

    /// All entries: when each was used last, where it is and how much it has.
    fn entries(&self) -> Vec<(SystemTime, PathBuf, u64)> {
        let folders = fs::read_dir(self.dir.join("sha256"))
            .into_iter()
            .flatten()
            .flatten();
        let files = folders.filter_map(|folder| fs::read_dir(folder.path()).ok());
        let mut found = Vec::new();
        for entry in files.flatten().flatten() {
            if let Ok(metadata) = entry.metadata() {
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.push((used, entry.path(), metadata.len()));
            }
        }
        found
    }

    /// Removes what was not used for longest, but nothing that is in use.
    fn make_room(&self) -> io::Result<()> {
        let mut entries = self.entries();
        let mut size: u64 = entries.iter().map(|(_, _, size)| size).sum();
        entries.sort();
        for (_, place, length) in entries {
            if size <= self.most {
                break;
            }
            let Ok(file) = File::open(&place) else {
                continue;
            };
            if let Ok(locked) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                fs::remove_file(&place)?;
                size -= length;
                drop(locked);
            }
        }
        Ok(())
    }
}

impl Drop for New {
    fn drop(&mut self) {
        // Gone already where it became an entry.
        fs::remove_file(&self.place).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn add(cache: &Cache, digit: char) -> Entry {
        let mut new = cache.begin().unwrap();
        new.file.write_all(&[b'x'; 100]).unwrap();
        cache.add(&digit.to_string().repeat(64), &new).unwrap()
    }

    fn is_there(cache: &Cache, digit: char) -> bool {
        cache.place(&digit.to_string().repeat(64)).exists()
    }

    #[test]
    fn what_was_not_used_for_longest_goes_and_nothing_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("c"), 250);
        let a = add(&cache, 'a');
        let b = add(&cache, 'b');
        drop(b);
        let c = add(&cache, 'c');
        assert!(is_there(&cache, 'a') && !is_there(&cache, 'b') && is_there(&cache, 'c'));
        drop((a, c));
        let _d = add(&cache, 'd');
        assert!(!is_there(&cache, 'a') && is_there(&cache, 'c') && is_there(&cache, 'd'));
        assert_eq!(fs::read_dir(dir.path().join("c/new")).unwrap().count(), 0);
        assert!(cache.find(&"b".repeat(64)).unwrap().is_none());
    }
}
