//! Brings the files of a job from the object store into the cache.

use std::io::Write;

use async_nats::jetstream::object_store::GetErrorKind;
use isolate_run_client::Job;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::cache::Entry;
use crate::station::Station;

/// How much is read at once.
const CHUNK: usize = 128 << 10;

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

/// Gets all that a job names. They stay until what this returns is dropped.
pub(crate) async fn fetch(station: &Station, job: &Job) -> Result<Vec<Entry>, Missing> {
    let mut entries = Vec::new();
    for digest in job.digests() {
        // What the job brings along itself is added by the batch.
        let is_along = job.files.iter().any(|file| {
            file.sha256.as_deref() == Some(digest) && (file.text.is_some() || file.base64.is_some())
        });
        if !is_along {
            entries.push(get(station, digest).await?);
        }
    }
    Ok(entries)
}

/// Gets one.
pub(crate) async fn get(station: &Station, digest: &str) -> Result<Entry, Missing> {
    let disk = |error: std::io::Error| {
        let dir = station.cache.dir().display();
        Missing::Disk(format!("the cache {dir} does not work: {error}"))
    };
    if let Some(entry) = station.cache.find(digest).map_err(disk)? {
        return Ok(entry);
    }
    let store = |reason: &dyn std::fmt::Display| {
        Missing::NotInStore(format!(
            "the file {digest} is not in the object store: {reason}"
        ))
    };
    let mut object = station
        .fleet
        .files
        .get(digest)
        .await
        .map_err(|error| match error.kind() {
            GetErrorKind::NotFound => store(&"nobody has put it there, or it was removed"),
            _ => store(&error),
        })?;
    let (size, most) = (object.info().size as u64, station.settings.files.max.0);
    if size > most {
        let reason =
            format!("the file {digest} has {size} bytes, and files.max of worker.toml is {most}");
        return Err(Missing::TooLarge(reason));
    }
    let mut new = station.cache.begin().map_err(disk)?;
    let mut hash = Sha256::new();
    let mut length = 0;
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = object
            .read(&mut chunk)
            .await
            .map_err(|error| store(&error))?;
        let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        length += count as u64;
        // What the store says of itself need not be true.
        if length > most {
            let reason =
                format!("the file {digest} has more than {most} bytes (files.max of worker.toml)");
            return Err(Missing::TooLarge(reason));
        }
        hash.update(bytes);
        new.file.write_all(bytes).map_err(disk)?;
    }
    let found = hex(&hash.finalize());
    if found != digest {
        return Err(store(&format!(
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
