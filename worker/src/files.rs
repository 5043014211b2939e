//! Brings the files of a job from the object store into the cache.

use std::io::Write;

use isolate_run_client::Job;
use sha2::{Digest, Sha256};

use crate::cache::Entry;
use crate::station::Station;
use crate::store;

/// Why a file is not there.
#[derive(Debug)]
pub(crate) enum Missing {
    /// It is larger than allowed: nothing will change that.
    TooLarge(String),
    /// The store does not have it, or has something else: another machine may see more.
    NotInStore(String),
    /// The disk of this machine does not take it.
    Disk(String),
}

/// Gets all that a job of a queue names. They stay until what this returns is dropped.
pub(crate) async fn fetch(
    station: &Station,
    queue: &str,
    job: &Job,
) -> Result<Vec<Entry>, Missing> {
    let mut entries = Vec::new();
    for digest in job.digests() {
        // What the job brings along itself is added by the batch.
        let is_along = job.files.iter().any(|file| {
            file.sha256.as_deref() == Some(digest) && (file.text.is_some() || file.base64.is_some())
        });
        if !is_along {
            entries.push(get(station, queue, digest).await?);
        }
    }
    Ok(entries)
}

/// Gets one.
pub(crate) async fn get(station: &Station, queue: &str, digest: &str) -> Result<Entry, Missing> {
    let disk = |error: std::io::Error| {
        let dir = station.cache.dir().display();
        Missing::Disk(format!("the cache {dir} does not work: {error}"))
    };
    if let Some(entry) = station.cache.find(digest).map_err(disk)? {
        return Ok(entry);
    }
    let missing = |reason: &dyn std::fmt::Display| {
        Missing::NotInStore(format!(
            "the file {digest} is not in the object store: {reason}"
        ))
    };
    let found = store::open(&station.fleet, queue, digest).await;
    let mut object = found
        .map_err(|failure| missing(&failure))?
        .ok_or_else(|| missing(&"nobody has put it there, or it was removed"))?;
    let (size, most) = (object.size, station.settings.files.max.0);
    if size > most {
        let reason =
            format!("the file {digest} has {size} bytes, and files.max of worker.toml is {most}");
        return Err(Missing::TooLarge(reason));
    }
    let mut new = station.cache.begin().map_err(disk)?;
    let mut hash = Sha256::new();
    let mut length = 0;
    while let Some(bytes) = object.next().await.map_err(|failure| missing(&failure))? {
        length += bytes.len() as u64;
        // What the store says of itself need not be true.
        if length > most {
            let reason =
                format!("the file {digest} has more than {most} bytes (files.max of worker.toml)");
            return Err(Missing::TooLarge(reason));
        }
        hash.update(&bytes);
        new.file.write_all(&bytes).map_err(disk)?;
    }
    let found = hex(&hash.finalize());
    if found != digest {
        return Err(missing(&format!(
            "what is there under this name has the digest {found}"
        )));
    }
    station.cache.add(digest, &new).map_err(disk)
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
