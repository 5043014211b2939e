//! Finds and reads the files: which of them exist, and in which order they count. Who may write
//! them is left to the administrator of /etc.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Place};

/// The size of the largest file that is read, in bytes. A real one has a few thousand.
const SIZE_MAX: u64 = 1 << 20;

/// Room for a usual file, in bytes.
const USUAL: usize = 32 << 10;

/// Reads a file's text. `None`: there is no such file, or one of the directories in its path is a
/// file (`/etc/isolate` of the old isolate).
pub(super) fn read_if_present(path: &Path) -> Result<Option<String>, ConfigError> {
    let bytes = read_bytes_if_present(path)?;
    bytes
        .map(|bytes| text(bytes, &Place::file(path)))
        .transpose()
}

/// Reads the text of a file that must be there.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    text(read_bytes(path)?, &Place::file(path))
}

/// Reads a file as bytes; `None` as in [`read_if_present`].
pub(super) fn read_bytes_if_present(path: &Path) -> Result<Option<Vec<u8>>, ConfigError> {
    let place = Place::file(path);
    match open(path) {
        Ok(file) => read_regular(file, &place).map(Some),
        Err(error) if is_absent(path, &error) => Ok(None),
        Err(error) => Err(place.os_error("cannot open", error)),
    }
}

/// Reads a file that must be there, as bytes.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let place = Place::file(path);
    match open(path) {
        Ok(file) => read_regular(file, &place),
        Err(error) => Err(place.os_error("cannot open", error)),
    }
}

/// Reads to the end, but no more than [`SIZE_MAX`].
pub(super) fn read_all(from: impl Read, place: &Place) -> Result<Vec<u8>, ConfigError> {
    // Room that is not needed costs nothing, and more than one read does.
    let mut bytes = Vec::with_capacity(USUAL);
    from.take(SIZE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| place.os_error("cannot read", error))?;
    if u64::try_from(bytes.len()).map_or(true, |size| size > SIZE_MAX) {
        return Err(place.error(format_args!("too large; at most {SIZE_MAX} bytes are read")));
    }
    Ok(bytes)
}

/// A drop-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DropIn {
    /// The file.
    pub(super) path: PathBuf,
    /// Whether it is a link to /dev/null, which only hides files of its name.
    pub(super) is_mask: bool,
}

/// The drop-ins by their names, in the order in which they count: `*.toml`, not hidden, sorted by
/// bytes. Of files with one name, only the one in the first of the directories counts.
pub(super) fn drop_ins(directories: &[PathBuf]) -> Result<BTreeMap<OsString, DropIn>, ConfigError> {
    let mut found = BTreeMap::new();
    for directory in directories {
        let place = Place::file(directory);
        let refusal = |error| place.os_error("cannot read the directory of drop-ins", error);
        // Mostly there is none, and this is the cheapest way to see that. A link to nowhere is one.
        match fs::symlink_metadata(directory) {
            Ok(_) => {}
            Err(error) if is_no_name(&error) => continue,
            Err(error) => return Err(refusal(error)),
        }
        for entry in fs::read_dir(directory).map_err(refusal)? {
            let entry = entry.map_err(refusal)?;
            let name = entry.file_name();
            if is_drop_in(&name) && !found.contains_key(&name) {
                let path = entry.path();
                let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
                let is_mask = is_link && is_mask(&path);
                found.insert(name, DropIn { path, is_mask });
            }
        }
    }
    Ok(found)
}

/// Whether a link leads to /dev/null.
pub(super) fn is_mask(link: &Path) -> bool {
    fs::canonicalize(link).is_ok_and(|target| target == Path::new("/dev/null"))
}

fn is_drop_in(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".toml") && !name.as_bytes().starts_with(b".")
}

/// Whether an open failed because nothing has that name. A link to nowhere is something, and so is
/// a file in the place of a directory: an administrator meant them to be read.
fn is_absent(path: &Path, error: &io::Error) -> bool {
    is_no_name(error) && fs::symlink_metadata(path).is_err()
}

/// Whether nothing has the name, or one of the directories in the path is a file.
fn is_no_name(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Opens without waiting: a FIFO in the place of the file must not block us before it is
/// recognized.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

fn read_regular(file: File, place: &Place) -> Result<Vec<u8>, ConfigError> {
    let metadata = file
        .metadata()
        .map_err(|error| place.os_error("cannot stat", error))?;
    if !metadata.is_file() {
        return Err(place.error("not a regular file; only regular files are read"));
    }
    read_all(file, place)
}

fn text(bytes: Vec<u8>, place: &Place) -> Result<String, ConfigError> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        place
            .at_line(line)
            .error("not UTF-8 text; TOML is always UTF-8")
    })
}
