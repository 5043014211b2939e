//! Files by their digests, in the object store of their queue. The form is that of every object
//! store of NATS, so that its tools and clients read and write the same. Nothing here makes a
//! consumer: who may make one can have the server deliver to any subject, and nobody but an
//! administrator is to be able to.

use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::connection::Fleet;
use crate::failure::Failure;
use crate::files::hex;
use crate::names;

/// How much is in one message.
const CHUNK: usize = 128 << 10;

/// What the store knows of a file; only what is needed here.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Info {
    name: String,
    bucket: String,
    /// In the subject of the chunks.
    nuid: String,
    size: u64,
    chunks: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(default)]
    deleted: bool,
}

/// A file that is read from the store, chunk by chunk. What it says of itself need not be true.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: Stream<()>,
    subject: String,
    position: u64,
    chunks: usize,
    /// Its size, as the store says.
    pub(crate) size: u64,
}

/// Looks for a file of a queue.
///
/// # Errors
///
/// The server does not answer, or what it has there is no file.
pub(crate) async fn open(
    fleet: &Fleet,
    queue: &str,
    digest: &str,
) -> Result<Option<Reader>, Failure> {
    let bucket = names::files(queue);
    let stream = fleet.stream(&format!("OBJ_{bucket}")).await?;
    let subject = meta_subject(&bucket, digest);
    let info: Info = match stream.direct_get_last_for_subject(subject).await {
        Ok(message) => {
            let what = format!("the bucket {bucket} has no file under {digest}");
            serde_json::from_slice(&message.payload).map_err(Failure::at(what))?
        }
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::at(format!("cannot read the bucket {bucket}"))(
                error,
            ));
        }
    };
    if info.deleted {
        return Ok(None);
    }
    Ok(Some(Reader {
        stream,
        subject: chunk_subject(&bucket, &info.nuid),
        position: 1,
        chunks: info.chunks,
        size: info.size,
    }))
}

impl Reader {
    /// The next chunk; none at the end, or where the store has lost a part.
    ///
    /// # Errors
    ///
    /// The server does not answer.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.chunks == 0 {
            return Ok(None);
        }
        let found = self
            .stream
            .direct_get_next_for_subject(self.subject.as_str(), Some(self.position))
            .await;
        let message = match found {
            Ok(message) => message,
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::at("cannot read a part of a file")(error)),
        };
        self.position = message.sequence + 1;
        self.chunks -= 1;
        Ok(Some(message.payload))
    }

    /// All of it, if it is not more than this.
    ///
    /// # Errors
    ///
    /// It is more, a part of it is lost, or it cannot be read.
    pub(crate) async fn all(&mut self, most: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next().await? {
            if bytes.len() + chunk.len() > most {
                return Err(Failure::new(format!("it has more than {most} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        if self.chunks > 0 {
            return Err(Failure::new("a part of it is lost"));
        }
        Ok(bytes)
    }
}

/// Puts a file there, unless it is there; its digest.
///
/// # Errors
///
/// The store does not take it.
pub(crate) async fn put(fleet: &Fleet, queue: &str, bytes: &[u8]) -> Result<String, Failure> {
    let raw = Sha256::digest(bytes);
    let digest = hex(&raw);
    let bucket = names::files(queue);
    let what = format!("cannot put a file into the bucket {bucket}");
    if open(fleet, queue, &digest).await?.is_some() {
        return Ok(digest);
    }
    let inbox = fleet.client.new_inbox();
    let nuid = inbox.rsplit('.').next().unwrap_or_default().to_owned();
    let subject = chunk_subject(&bucket, &nuid);
    let chunks = bytes.chunks(CHUNK);
    let info = Info {
        name: digest.clone(),
        bucket: bucket.clone(),
        nuid,
        size: bytes.len() as u64,
        chunks: chunks.len(),
        digest: Some(format!("SHA-256={}", BASE64_URL_SAFE.encode(raw))),
        deleted: false,
    };
    for chunk in chunks {
        publish(fleet, subject.clone(), Bytes::copy_from_slice(chunk))
            .await
            .map_err(Failure::at(&what))?;
    }
    let info = serde_json::to_vec(&info).map_err(Failure::at(&what))?;
    publish(fleet, meta_subject(&bucket, &digest), info.into())
        .await
        .map_err(Failure::at(&what))?;
    Ok(digest)
}

/// Publishes, and waits until the server has it.
async fn publish(fleet: &Fleet, subject: String, payload: Bytes) -> Result<(), String> {
    let sent = fleet.jetstream.publish(subject, payload).await;
    let acknowledged = sent.map_err(|error| error.to_string())?.await;
    acknowledged.map(drop).map_err(|error| error.to_string())
}

fn meta_subject(bucket: &str, digest: &str) -> String {
    format!("$O.{bucket}.M.{}", BASE64_URL_SAFE.encode(digest))
}

fn chunk_subject(bucket: &str, nuid: &str) -> String {
    format!("$O.{bucket}.C.{nuid}")
}
