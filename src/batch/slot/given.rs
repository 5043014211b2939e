//! The files that a job gives to its boxes: copied there, or shown where the cache has them.

use super::files::{self, NotPut, Source};
use super::rooms::Room;
use crate::batch::cache::{Cache, Digest, Entry, NotAdded};
use crate::batch::job::check::is_bound;
use crate::batch::job::words::GivenFile;
use crate::batch::office::Office;
use crate::failure::Failure;

/// A file of the cache that is shown in a box.
#[derive(Debug)]
pub(super) struct Shown {
    /// It is in use as long as the job has the box.
    _entry: Entry,
    /// The rule for it.
    pub(super) rule: String,
}

/// Gives a file to a box. What is returned is shown in each run there.
pub(super) fn give(
    office: &Office,
    room: &Room,
    file: &GivenFile,
) -> Result<Option<Shown>, NotPut> {
    let Some(digest) = file.sha256.as_deref().and_then(Digest::parse) else {
        // The job was checked: it has a source.
        let source = files::source_of(file)?;
        let source = source.unwrap_or_else(|| Source::Bytes(Default::default()));
        return files::put(&room.dir, file, source).map(|()| None);
    };
    let cache = office.cache().map_err(NotPut::Refused)?;
    let entry = have(cache, &digest, file)?;
    if !is_bound(file) {
        let path = entry.path().display();
        let what = format!("cannot read {path}");
        let opened = entry.open().map_err(Failure::at(&what));
        let source = Source::File(opened.map_err(NotPut::Internal)?);
        return files::put(&room.dir, file, source).map(|()| None);
    }
    let path = entry.path().to_str().filter(|path| !path.contains(':'));
    let path = path.ok_or_else(|| {
        let text = format!(
            "'{}' cannot be shown: the path of the cache has a ':' or is not UTF-8",
            entry.path().display()
        );
        NotPut::Refused(Failure::new(text))
    })?;
    let rule = format!("box/{}={path}", file.name);
    // Where it is mounted.
    files::put(&room.dir, file, Source::Bytes(Default::default()))?;
    Ok(Some(Shown {
        _entry: entry,
        rule,
    }))
}

/// The entry for a file, which is added if the job says what is in it.
fn have(cache: &Cache, digest: &Digest, file: &GivenFile) -> Result<Entry, NotPut> {
    if let Some(entry) = cache.find(digest).map_err(NotPut::Internal)? {
        return Ok(entry);
    }
    let added = match files::source_of(file)? {
        Some(Source::File(source)) => cache.add(digest, source),
        Some(Source::Bytes(bytes)) => cache.add(digest, &*bytes),
        None => return Err(NotPut::Refused(absent(digest))),
    };
    let what = format!("'{}'", file.name);
    added.map_err(|error| match error {
        NotAdded::Another(failure) => NotPut::Refused(Failure::new(format!("{what}: {failure}"))),
        NotAdded::Failed(failure) => NotPut::Internal(failure),
    })
}

/// Why a job that only names a file by its digest is refused.
pub(super) fn absent(digest: &Digest) -> Failure {
    Failure::new(format!(
        "{digest} is not in the cache: give the file with its path, text or base64 beside sha256"
    ))
}
