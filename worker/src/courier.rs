//! Publishes results: the first one of a job is its result, and the server sees to that.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use isolate_run_client::Stored;

use crate::connection::Fleet;
use crate::fail;
use crate::failure::Failure;
use crate::names::result_subject;
use crate::spool::Letter;
use crate::store;

/// What else is in a message besides the payload.
const HEADERS: usize = 4 << 10;
/// The longest pause between two tries.
const PAUSE: Duration = Duration::from_secs(3);

/// What the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// This is the result.
    First,
    /// The job had one already.
    AlreadyThere,
}

/// Sends a letter until the server has it, or its job has a result anyway.
pub(crate) async fn send(fleet: &Fleet, letter: &Letter) -> Arrived {
    let mut pause = Duration::from_millis(100);
    loop {
        match publish(fleet, letter.clone()).await {
            Ok(arrived) => return arrived,
            Err(failure) => log::warn!("{failure}; trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE);
    }
}

async fn publish(fleet: &Fleet, mut letter: Letter) -> Result<Arrived, Failure> {
    let id = letter.result.id.clone();
    let what = format!("cannot publish the result of job {id}");
    let mut payload = serde_json::to_vec(&letter.result).map_err(Failure::at(&what))?;
    if payload.len() + HEADERS > fleet.client.server_info().max_payload {
        // Too long for a message: what the batch said is a file, and the message says which.
        let whole = serde_json::to_vec(&letter.result.result.take());
        let whole = whole.map_err(Failure::at(&what))?;
        letter.result.stored = Some(Stored {
            sha256: store::put(fleet, &letter.queue, &whole).await?,
            size: whole.len() as u64,
        });
        payload = serde_json::to_vec(&letter.result).map_err(Failure::at(&what))?;
        fail::point("uploaded");
    }
    let subject = result_subject(&letter.queue, &id);
    let message = PublishMessage::build().payload(payload.into());
    publish_first(&fleet.jetstream, subject, message)
        .await
        .map_err(Failure::at(what))
}

/// Publishes what is to be the only message of its subject.
///
/// # Errors
///
/// Whether it is there is not known.
pub(crate) async fn publish_first(
    jetstream: &Context,
    subject: String,
    message: PublishMessage,
) -> Result<Arrived, String> {
    let message = message.expected_last_subject_sequence(0);
    let sent = jetstream.send_publish(subject, message).await;
    let acknowledged = match sent {
        Ok(acknowledged) => acknowledged.await,
        Err(error) => Err(error),
    };
    match acknowledged {
        Ok(_) => Ok(Arrived::First),
        Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
            Ok(Arrived::AlreadyThere)
        }
        Err(error) => Err(error.to_string()),
    }
}
