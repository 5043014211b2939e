//! Files by their content: a directory of the caller's that processes share. An entry is called by
//! its SHA-256, which was verified when it was added, and never changes after that.
//!
//! ```text
//! DIR/sha256/ab/cd…   an entry; whoever uses it has it locked (flock(2), shared)
//! DIR/new/…           one that is being added; whoever does that has it locked
//! DIR/size            how much there is ([`tally`])
//! ```
//!
//! An entry that is used gets the time of that. When there is too much, those go that were not used
//! for longest, but none that is locked. So it is where the disk is full.

mod digest;
mod room;
mod tally;

use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

pub(crate) use digest::Digest;

use crate::failure::Failure;
use crate::quantity::Bytes;
use crate::sys::file::{IfLocked, lock_exclusively, lock_shared};

/// How much is read at once.
const CHUNK: usize = 64 << 10;
/// The mode of entries: programs of other users read and execute them where they are shown.
const MODE: u32 = 0o555;
/// How often an entry that goes while it is opened is looked for again.
const ATTEMPTS: u32 = 10;

/// The directory.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    dir: PathBuf,
    /// How much it may hold; `None`: anything.
    most: Option<Bytes>,
}

/// An entry that is in use for as long as this is there.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What is locked. A program is never given this, which it could unlock.
    _file: File,
    path: PathBuf,
}

/// Why a file did not get into the cache.
#[derive(Debug)]
pub(crate) enum NotAdded {
    /// Its content is another one.
    Another(Failure),
    /// The cache does not work.
    Failed(Failure),
}

impl Entry {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it anew, for reading.
    pub(crate) fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

impl Cache {
    /// The one in this directory, which need not be there yet.
    pub(crate) fn new(dir: PathBuf, most: Option<Bytes>) -> Self {
        Self { dir, most }
    }

    /// Finds an entry, which is in use from then on.
    pub(crate) fn find(&self, digest: &Digest) -> Result<Option<Entry>, Failure> {
        let path = self.path_of(digest);
        let found = || -> io::Result<Option<Entry>> {
            for _ in 0..ATTEMPTS {
                let opened = OpenOptions::new()
                    .read(true)
                    .custom_flags(libc::O_NOFOLLOW)
                    .open(&path);
                let file = match opened {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    opened => opened?,
                };
                lock_shared(file.as_fd())?;
                if file.metadata()?.nlink() > 0 {
                    file.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
                    let path = path.clone();
                    return Ok(Some(Entry { _file: file, path }));
                }
                // It has just been removed.
            }
            Ok(None)
        };
        let what = format!("cannot use {} of the cache", path.display());
        found().map_err(Failure::at(&what))
    }

    /// Adds what can be read from `source`, if its digest is this one.
    pub(crate) fn add(&self, digest: &Digest, source: impl Read) -> Result<Entry, NotAdded> {
        let what = format!("cannot add a file to the cache {}", self.dir.display());
        let failed = |error: io::Error| NotAdded::Failed(Failure::at(&what)(error));
        let make_room = || room::make_on_disk(&self.dir);
        with_room(&make_room, || self.prepare(digest)).map_err(failed)?;
        let (place, mut new) = with_room(&make_room, || self.new_file()).map_err(failed)?;
        let mut size = 0;
        let copied = copy(source, &mut new, &mut size, &make_room);
        let added = copied.map_err(failed).and_then(|found| {
            if found != *digest {
                let text = format!("its SHA-256 is {found}, and not {digest}");
                return Err(NotAdded::Another(Failure::new(text)));
            }
            let finished = || -> io::Result<()> {
                new.set_permissions(Permissions::from_mode(MODE))?;
                new.sync_data()?;
                match fs::hard_link(&place, self.path_of(digest)) {
                    // Somebody else was faster; what they have in use must stay.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                    linked => linked,
                }
            };
            with_room(&make_room, finished).map_err(failed)
        });
        fs::remove_file(&place).ok();
        added?;
        let entry = self.find(digest).map_err(NotAdded::Failed)?;
        room::make(&self.dir, self.most, size);
        entry.ok_or_else(|| failed(io::Error::other("it was removed at once")))
    }

    fn path_of(&self, digest: &Digest) -> PathBuf {
        let (first, rest) = digest.parts();
        self.dir.join("sha256").join(first).join(rest)
    }

    /// Makes the directories. Whoever else could write there could change what programs read.
    fn prepare(&self, digest: &Digest) -> io::Result<()> {
        let entry = self.path_of(digest);
        for dir in [&self.dir.join("new"), entry.parent().unwrap_or(&self.dir)] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let found = fs::metadata(&self.dir)?;
        if found.uid() != nix::unistd::geteuid().as_raw() || found.mode() & 0o022 != 0 {
            return Err(io::Error::other(
                "the directory belongs to another user, or others may write there",
            ));
        }
        Ok(())
    }

    /// A new file, locked.
    fn new_file(&self) -> io::Result<(PathBuf, File)> {
        for number in 0_u32.. {
            let name = format!("{}-{number}", std::process::id());
            let place = self.dir.join("new").join(name);
            let made = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&place);
            match made {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    let file = made?;
                    // Shared, so that it can be used while it is still locked as a new one.
                    lock_shared(file.as_fd())?;
                    if file.metadata()?.nlink() > 0 {
                        return Ok((place, file));
                    }
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Whether there is no room on the disk, or no more for this user.
fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

/// Does something. Where the disk is full, `make_room` says whether to try again.
fn with_room<T>(
    make_room: &impl Fn() -> bool,
    mut done: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match done() {
            Err(error) if is_full(&error) && make_room() => {}
            done => return done,
        }
    }
}

/// Writes everything. Where the disk is full, `make_room` says whether to try again.
fn write_all(
    mut target: impl Write,
    mut bytes: &[u8],
    make_room: &impl Fn() -> bool,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match with_room(make_room, || target.write(bytes)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Copies everything, and adds up how much that is; its digest.
fn copy(
    mut source: impl Read,
    target: &mut File,
    size: &mut u64,
    make_room: &impl Fn() -> bool,
) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match source.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => {
                hasher.update(&chunk[..length]);
                write_all(&mut *target, &chunk[..length], make_room)?;
                *size += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    target.rewind()?;
    Ok(Digest::of(&hasher.finalize()))
}

/// Whether nobody uses a file: it is locked then, until the descriptor is closed.
fn is_idle(file: &File) -> bool {
    lock_exclusively(file.as_fd(), IfLocked::Refuse).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf abc | sha256sum`
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn cache(most: u64) -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"), Some(Bytes(most)));
        (dir, cache)
    }

    fn digest(text: &[u8]) -> Digest {
        Digest::of(&Sha256::digest(text))
    }

    #[test]
    fn what_was_added_is_found_and_is_what_its_name_says() {
        let (_dir, cache) = cache(100);
        let abc = Digest::parse(ABC).unwrap();
        assert!(cache.find(&abc).unwrap().is_none());
        let entry = cache.add(&abc, &b"abc"[..]).unwrap();
        assert_eq!(fs::read(entry.path()).unwrap(), b"abc");
        let found = cache.find(&abc).unwrap().unwrap();
        assert_eq!(found.path(), entry.path());
        assert_eq!(fs::metadata(found.path()).unwrap().mode() & 0o777, MODE);
        let refused = cache.add(&abc, &b"abd"[..]).unwrap_err();
        assert!(matches!(refused, NotAdded::Another(failure) if failure.to_string().contains(ABC)));
        let left = fs::read_dir(cache.dir.join("new")).unwrap().count();
        assert_eq!(left, 0);
    }

    #[test]
    fn what_was_not_used_for_longest_goes_and_nothing_in_use() {
        let (_dir, cache) = cache(10);
        let add = |text: &[u8]| cache.add(&digest(text), text).unwrap();
        let age = |entry: &Entry, seconds| {
            let time = SystemTime::now() - std::time::Duration::from_secs(seconds);
            let times = FileTimes::new().set_modified(time);
            File::open(entry.path()).unwrap().set_times(times).unwrap();
        };
        let (old, older, oldest) = (add(b"1111"), add(b"2222"), add(b"33"));
        for (entry, seconds) in [(&old, 10), (&older, 20), (&oldest, 30)] {
            age(entry, seconds);
        }
        drop((old, older));
        let new = add(b"4444");
        assert!(cache.find(&digest(b"1111")).unwrap().is_some());
        assert!(cache.find(&digest(b"2222")).unwrap().is_none());
        assert!(cache.find(&digest(b"33")).unwrap().is_some());
        drop((oldest, new));
        // One that is larger than all stays while it is used.
        let large = add(b"a large file");
        assert!(large.open().is_ok());
        assert!(cache.find(&digest(b"33")).unwrap().is_none());
    }

    #[test]
    fn a_full_disk_gets_room_from_what_nobody_uses() {
        struct Disk(std::cell::Cell<u64>);
        impl Write for &Disk {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let length = bytes.len().min(self.0.get() as usize);
                self.0.set(self.0.get() - length as u64);
                match length {
                    0 => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
                    length => Ok(length),
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (_dir, cache) = cache(1000);
        let (used, idle) = (&b"in use"[..], &b"idle"[..]);
        let entry = cache.add(&digest(used), used).unwrap();
        drop(cache.add(&digest(idle), idle).unwrap());
        let disk = Disk(2.into());
        let make_room = || {
            let made = room::make_on_disk(&cache.dir);
            disk.0.set(disk.0.get() + if made { 4 } else { 0 });
            made
        };
        write_all(&disk, b"six...", &make_room).unwrap();
        assert!(cache.find(&digest(idle)).unwrap().is_none());
        assert!(entry.open().is_ok());
        // There is nothing more to be had.
        let full = write_all(&disk, b"more", &make_room).unwrap_err();
        assert!(is_full(&full));
    }

    #[test]
    fn entries_are_looked_at_only_when_there_may_be_too_much() {
        let (_dir, cache) = cache(100);
        let add = |text: &[u8]| drop(cache.add(&digest(text), text).unwrap());
        add(b"first");
        let known = || fs::read_to_string(cache.dir.join("size")).unwrap();
        assert_eq!(known(), "5 0\n");
        add(b"second");
        assert_eq!(known(), "11 1\n");
        // A number that is too small is found out when all is counted.
        fs::remove_file(cache.dir.join("size")).unwrap();
        add(b"third");
        assert_eq!(known(), "16 0\n");
        add(&[b'x'; 90]);
        assert_eq!(known(), "95 0\n");
    }

    #[test]
    fn what_a_killed_process_left_half_is_removed() {
        let (_dir, cache) = cache(10);
        let first = cache.add(&digest(b"1"), &b"1"[..]).unwrap();
        let half = cache.dir.join("new/7-0");
        fs::write(&half, "half").unwrap();
        cache.add(&digest(b"2"), &b"2"[..]).unwrap();
        assert!(!half.exists() && first.open().is_ok());
    }

    #[test]
    fn what_else_is_in_the_directory_stays() {
        let (_dir, cache) = cache(1);
        let others = ["new/submission.zip", "sha256/notes/a", "sha256/ab/note"];
        for other in others {
            let path = cache.dir.join(other);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "somebody's").unwrap();
        }
        drop(cache.add(&digest(b"12"), &b"12"[..]).unwrap());
        cache.add(&digest(b"34"), &b"34"[..]).unwrap();
        assert!(cache.find(&digest(b"12")).unwrap().is_none());
        assert!(others.iter().all(|other| cache.dir.join(other).exists()));
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_not_used() {
        let (_dir, cache) = cache(10);
        fs::create_dir(&cache.dir).unwrap();
        fs::set_permissions(&cache.dir, Permissions::from_mode(0o777)).unwrap();
        let refused = cache.add(&digest(b"1"), &b"1"[..]).unwrap_err();
        assert!(
            matches!(refused, NotAdded::Failed(failure) if failure.to_string().contains("others"))
        );
    }
}
