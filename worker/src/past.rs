//! What is written down of jobs, for whoever has them next and for the administrators.

use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use bytes::Bytes;

use crate::carry::Name;
use crate::decide::Errors;
use crate::failure::Failure;
use crate::names::error_subject;
use crate::patience::Patience;
use crate::station::Station;

/// What is known of a job that has no result yet, as soon as a server tells.
///
/// # Errors
///
/// None does.
pub(crate) async fn errors(station: &Station, name: &Name) -> Result<Errors, Failure> {
    let subject = error_subject(&name.queue, &name.id);
    let found = found(&station.fleet.dead, &subject).await?;
    let errors = found.and_then(|payload| serde_json::from_slice(&payload).ok());
    Ok(errors.unwrap_or_default())
}

/// Writes that down; whether it is safe.
pub(crate) async fn write(station: &Station, name: &Name, errors: &Errors) -> bool {
    // Nothing in it cannot be written.
    let payload = serde_json::to_vec(errors).unwrap_or_default();
    remember(station, error_subject(&name.queue, &name.id), payload).await
}

/// Writes something down; whether it is safe.
pub(crate) async fn remember(station: &Station, subject: String, payload: Vec<u8>) -> bool {
    let published = station
        .fleet
        .jetstream
        .publish(subject, payload.into())
        .await;
    let known = match published {
        Ok(acknowledged) => acknowledged.await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = &known {
        log::warn!("cannot write down what became of a job: {error}");
    }
    known.is_ok()
}

/// The last message of a subject, as soon as a server tells of it.
///
/// # Errors
///
/// None does.
pub(crate) async fn found(stream: &Stream<()>, subject: &str) -> Result<Option<Bytes>, Failure> {
    let mut patience = Patience::new();
    patience.ask(|| last(stream, subject.to_owned())).await
}

/// The last message of a subject.
///
/// # Errors
///
/// The server does not answer.
pub(crate) async fn last(stream: &Stream<()>, subject: String) -> Result<Option<Bytes>, Failure> {
    match stream.direct_get_last_for_subject(subject.clone()).await {
        Ok(message) => Ok(Some(message.payload)),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::at(format!("cannot ask the server for {subject}"))(
            error,
        )),
    }
}
