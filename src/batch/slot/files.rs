//! Files that are put into a box before a run, and taken out of it after one. A box is its caller's
//! then, but what is in it may be the work of a hostile program: nothing below it is trusted.

use std::borrow::Cow;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, mkdirat};

use crate::batch::job::check::mode;
use crate::batch::job::words::{Collect, GivenFile};
use crate::batch::result::{Collected, Content};
use crate::caller::{create_regular, open_below};
use crate::error::chain;
use crate::failure::Failure;

/// The bound of what is collected, where the job names none, in bytes.
const MOST_COLLECTED: u64 = 1 << 20;

/// Opens the directory that the program sees as /box.
pub(super) fn open_box(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_CLOEXEC;
    let what = format!("cannot open {}", path.display());
    open(path, flags, Mode::empty()).map_err(Failure::at(&what))
}

/// Why a file was not put into a box.
#[derive(Debug)]
pub(super) enum NotPut {
    /// The caller's own file cannot be had.
    Refused(Failure),
    /// The box does not take it.
    Internal(Failure),
}

/// What a file has in it.
#[derive(Debug)]
pub(super) enum Source<'a> {
    File(File),
    Bytes(Cow<'a, [u8]>),
}

/// What the job says of it; `None`: nothing, the cache has it.
pub(super) fn source_of(file: &GivenFile) -> Result<Option<Source<'_>>, NotPut> {
    if let Some(path) = &file.path {
        let opened = open_regular(path)
            .map_err(|error| NotPut::Refused(Failure::at(&format!("cannot read '{path}'"))(error)));
        return opened.map(|file| Some(Source::File(file)));
    }
    let text = file.text.as_ref().map(|text| text.as_bytes().into());
    let bytes = text.or_else(|| file.base64.as_ref().map(|text| decode(text).into()));
    Ok(bytes.map(Source::Bytes))
}

/// Puts a file into a box, with the directories on its way.
pub(super) fn put(dir: &OwnedFd, file: &GivenFile, source: Source<'_>) -> Result<(), NotPut> {
    let what = format!("cannot put '{}' into the box", file.name);
    let internal = |error: io::Error| NotPut::Internal(Failure::at(&what)(error));
    make_way(dir, &file.name).map_err(|errno| internal(errno.into()))?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
    let target = open_below(
        dir,
        Path::new(&file.name),
        flags,
        Mode::from_bits_truncate(0o600),
    );
    let mut target = File::from(target.map_err(|errno| internal(errno.into()))?);
    let written = match source {
        // std copies by reflink or copy_file_range(2) where that is possible.
        Source::File(mut source) => io::copy(&mut source, &mut target).map(drop),
        Source::Bytes(bytes) => target.write_all(&bytes),
    };
    let mode = Permissions::from_mode(mode(file).unwrap_or(0o644));
    written
        .and_then(|()| target.set_permissions(mode))
        .map_err(internal)
}

/// The bytes of a text in base64, which was checked.
pub(super) fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap_or_default()
}

/// Opens a file of the caller's for reading. A FIFO does not stop anybody.
pub(super) fn open_regular(path: &str) -> io::Result<File> {
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

/// Makes the directories before the last part of a name.
fn make_way(dir: &OwnedFd, name: &str) -> nix::Result<()> {
    for (at, _) in name.match_indices('/') {
        let way = &name[..at];
        let (above, last) = way.rsplit_once('/').unwrap_or(("", way));
        let flags = OFlag::O_DIRECTORY | OFlag::O_PATH;
        let made = match above {
            "" => mkdirat(dir, last, Mode::from_bits_truncate(0o755)),
            above => {
                let above = open_below(dir, Path::new(above), flags, Mode::empty())?;
                mkdirat(&above, last, Mode::from_bits_truncate(0o755))
            }
        };
        match made {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Takes a file out of a box. What cannot be taken says why: the program may not have made it.
pub(super) fn collect(dir: &OwnedFd, wanted: &Collect) -> Collected {
    let mut collected = Collected {
        name: wanted.name.clone(),
        ..Collected::default()
    };
    if let Err(error) = take(dir, wanted, &mut collected) {
        collected.error = Some(chain(&error));
    }
    collected
}

fn take(dir: &OwnedFd, wanted: &Collect, collected: &mut Collected) -> io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
    let file = File::from(open_below(
        dir,
        Path::new(&wanted.name),
        flags,
        Mode::empty(),
    )?);
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let most = wanted
        .max
        .as_ref()
        .map_or(MOST_COLLECTED, |bound| bound.bytes());
    collected.size = Some(found.len());
    if found.len() > most {
        let text = format!("it has {} bytes, of at most {most} (max)", found.len());
        return Err(io::Error::other(text));
    }
    match &wanted.path {
        Some(path) => {
            let mut target = create_regular(Path::new(path))?;
            io::copy(&mut file.take(most), &mut target)?;
            collected.path = Some(path.clone());
        }
        None => {
            let mut bytes = Vec::new();
            file.take(most).read_to_end(&mut bytes)?;
            let content = Content::new(bytes, false);
            (collected.text, collected.base64) = (content.text, content.base64);
        }
    }
    Ok(())
}

/// A file without a name that holds these bytes, for reading alone. Nobody can change it: it may
/// be opened anew, as /dev/stdin.
pub(super) fn holding(bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(c"stdin", flags)?);
    file.write_all(bytes)?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL))?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    File::open(path).map(OwnedFd::from)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn box_dir() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let open = open_box(dir.path()).unwrap();
        (dir, open)
    }

    fn wanted(name: &str, max: Option<u64>) -> Collect {
        Collect {
            name: name.to_owned(),
            max: max.map(crate::batch::job::word::Bound::of),
            path: None,
        }
    }

    #[test]
    fn files_are_put_with_their_directories_and_taken_out() {
        let (dir, open) = box_dir();
        for (text, base64) in [(Some("abc"), None), (None, Some("YWJj"))] {
            let file = GivenFile {
                name: "sub/sub/a".to_owned(),
                text: text.map(str::to_owned),
                base64: base64.map(str::to_owned),
                mode: Some("755".to_owned()),
                ..GivenFile::default()
            };
            let source = source_of(&file).unwrap().unwrap();
            put(&open, &file, source).unwrap();
            let found = fs::metadata(dir.path().join("sub/sub/a")).unwrap();
            assert_eq!(
                (found.len(), found.permissions().mode() & 0o777),
                (3, 0o755)
            );
            let taken = collect(&open, &wanted("sub/sub/a", None));
            assert_eq!(taken.text.as_deref(), Some("abc"));
        }
        let taken = collect(&open, &wanted("sub/sub/a", Some(2)));
        assert!(taken.error.unwrap().contains("3 bytes, of at most 2"));
        assert_eq!(taken.text, None);
    }

    #[test]
    fn what_a_program_put_there_leads_nowhere() {
        let (dir, open) = box_dir();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("etc")).unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo"), Mode::S_IRUSR).unwrap();
        for name in ["link", "etc/passwd", "fifo", "absent"] {
            let taken = collect(&open, &wanted(name, None));
            assert!(taken.error.is_some() && taken.text.is_none(), "{name}");
        }
    }

    #[test]
    fn given_bytes_can_be_read_and_not_written() {
        let mut file = File::from(holding(b"abc").unwrap());
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert!(file.write_all(b"x").is_err());
    }
}
