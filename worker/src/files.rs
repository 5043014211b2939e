//! Brings the files of a job from the object store into the cache.

use std::fmt::Display;
use std::io::{self, Write};

use bytes::Bytes;
use isolate_run_client::Job;
use sha2::{Digest, Sha256};

use crate::cache::Entry;
use crate::failure::Failure;
use crate::patience::Patience;
use crate::station::Station;
use crate::store::{self, Reader};

/// Why a file is not there.
#[derive(Debug)]
pub(crate) enum Missing {
    /// It is larger than allowed, alone or with others: nothing will change that.
    TooLarge(String),
    /// The store does not have it, or has something else: another machine may see more.
    NotInStore(String),
    /// The store does not answer.
    Away(String),
    /// The disk of this machine does not take it.
    Disk(String),
}

/// Gets all that a job of a queue names. They stay until what this returns is dropped.
pub(crate) async fn fetch(
    station: &Station,
    queue: &str,
    job: &Job,
) -> Result<Vec<Entry>, Missing> {
    let (mut entries, mut lacking) = (Vec::new(), Vec::new());
    let mut size = 0_u64;
    for digest in job.digests() {
        // What the job brings along itself is added by the batch.
        let is_along = job.files.iter().any(|file| {
            file.sha256.as_deref() == Some(digest) && (file.text.is_some() || file.base64.is_some())
        });
        if is_along {
            continue;
        }
        match find(station, digest)? {
            Some(entry) => {
                size = size.saturating_add(entry.size);
                entries.push(entry);
            }
            None => {
                let object = look(station, queue, digest, Patience::new()).await?;
                size = size.saturating_add(object.size);
                lacking.push((digest, object));
            }
        }
    }
    // All of them are in use at the same time, and nothing in use is removed: before the first one
    // comes, for a disk that is full would have one machine after the other drain.
    let most = station.settings.files.cache_max.0;
    if size > most {
        let reason = format!(
            "the files of the job have {size} bytes together, and files.cache_max of worker.toml is {most}"
        );
        return Err(Missing::TooLarge(reason));
    }
    for (digest, object) in lacking {
        entries.push(download(station, digest, object, Patience::new).await?);
    }
    Ok(entries)
}

/// Gets one, if the store answers at once.
pub(crate) async fn get(station: &Station, queue: &str, digest: &str) -> Result<Entry, Missing> {
    match find(station, digest)? {
        Some(entry) => Ok(entry),
        None => {
            let object = look(station, queue, digest, Patience::none()).await?;
            download(station, digest, object, Patience::none).await
        }
    }
}

/// In the cache.
fn find(station: &Station, digest: &str) -> Result<Option<Entry>, Missing> {
    station.cache.find(digest).map_err(disk(station))
}

/// In the object store. A server that is away is waited for.
async fn look(
    station: &Station,
    queue: &str,
    digest: &str,
    mut patience: Patience,
) -> Result<Reader, Missing> {
    let asked = patience.ask(|| store::open(&station.fleet, queue, digest));
    let object = asked.await.map_err(|failure| away(digest, &failure))?;
    let object = object.ok_or_else(|| {
        let reason = "nobody has put it there, or it was removed";
        not_in_store(digest, &reason)
    })?;
    let (size, most) = (object.size, station.settings.files.max.0);
    if size > most {
        let reason =
            format!("the file {digest} has {size} bytes, and files.max of worker.toml is {most}");
        return Err(Missing::TooLarge(reason));
    }
    Ok(object)
}

/// From the object store into the cache.
async fn download(
    station: &Station,
    digest: &str,
    mut object: Reader,
    patience: fn() -> Patience,
) -> Result<Entry, Missing> {
    let disk = disk(station);
    let mut new = station.cache.begin().map_err(&disk)?;
    let mut hash = Sha256::new();
    let mut length = 0;
    while let Some(bytes) = next(&mut object, digest, patience()).await? {
        length += bytes.len() as u64;
        // What the store says of itself need not be true.
        if length > object.size {
            let reason = format!(
                "it has more than the {} bytes that it is to have",
                object.size
            );
            return Err(not_in_store(digest, &reason));
        }
        hash.update(&bytes);
        new.file.write_all(&bytes).map_err(&disk)?;
    }
    let found = hex(&hash.finalize());
    if found != digest {
        let reason = format!("what is there under this name has the digest {found}");
        return Err(not_in_store(digest, &reason));
    }
    station.cache.add(digest, &new).map_err(&disk)
}

/// The next part. A server that is away is waited for.
async fn next(
    object: &mut Reader,
    digest: &str,
    mut patience: Patience,
) -> Result<Option<Bytes>, Missing> {
    loop {
        match object.next().await {
            Ok(bytes) => return Ok(bytes),
            Err(failure) => {
                let waited = patience.or(failure).await;
                waited.map_err(|failure| away(digest, &failure))?;
            }
        }
    }
}

fn not_in_store(digest: &str, reason: &dyn Display) -> Missing {
    Missing::NotInStore(format!(
        "the file {digest} is not in the object store: {reason}"
    ))
}

fn away(digest: &str, failure: &Failure) -> Missing {
    Missing::Away(format!("the file {digest} cannot be had: {failure}"))
}

fn disk(station: &Station) -> impl Fn(io::Error) -> Missing {
    let dir = station.cache.dir().display().to_string();
    move |error| Missing::Disk(format!("the cache {dir} does not work: {error}"))
}

/// In small hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Nothing can go wrong with a string.
        write!(text, "{byte:02x}").ok();
    }
    text
}
