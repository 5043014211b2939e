//! `cancel`, `drain`, `undrain` and `prefetch`.

use std::path::PathBuf;

use async_nats::RequestErrorKind;

use crate::connection::Fleet;
use crate::control::{Order, Reply};
use crate::failure::Failure;
use crate::names::{cancel_subject, control_subject, is_id, is_name};
use crate::settings::Settings;
use crate::store;
use crate::tell::{complain, tell};
use crate::{machine, verbs};

/// Ends jobs of a queue.
///
/// # Errors
///
/// A name or an id is none, or the server does not answer.
pub(crate) async fn cancel(
    settings: &Settings,
    queue: &str,
    ids: &[String],
) -> Result<(), Failure> {
    if !is_name(queue) {
        return Err(Failure::new(format!("--queue: '{queue}' is no name")));
    }
    if let Some(id) = ids.iter().find(|id| !is_id(id)) {
        return Err(Failure::new(format!(
            "'{id}' is no id of a job: letters, digits, '-' and '_'"
        )));
    }
    let fleet = verbs::open(settings).await?;
    for id in ids {
        let what = format!("cannot cancel job {id}");
        let subject = cancel_subject(queue, id);
        let put = fleet.jetstream.publish(subject, bytes::Bytes::new()).await;
        put.map_err(Failure::at(&what))?
            .await
            .map_err(Failure::at(&what))?;
        tell(&format!("cancelled {id}, unless it has a result already"));
    }
    Ok(())
}

/// Has a machine take no more jobs, for a reason, or take jobs again.
///
/// # Errors
///
/// The machine is not there.
pub(crate) async fn drain(
    settings: &Settings,
    machine: Option<String>,
    reason: Option<String>,
) -> Result<(), Failure> {
    let fleet = verbs::open(settings).await?;
    let machine = match machine {
        Some(machine) => machine,
        None => machine::id(settings)?,
    };
    let (order, done) = match reason {
        Some(reason) => (Order::Drain { reason }, "takes no more jobs"),
        None => (Order::Undrain, "takes jobs"),
    };
    let reply = ask(&fleet, &machine, &order).await?;
    tell(&format!("{machine} {done}; under way: {}", reply.busy));
    Ok(())
}

/// Has all machines of a pool get files.
///
/// # Errors
///
/// A file cannot be uploaded, or a machine does not get it.
pub(crate) async fn prefetch(
    settings: &Settings,
    pool: Option<String>,
    queue: &str,
    files: &[PathBuf],
) -> Result<(), Failure> {
    if !is_name(queue) {
        return Err(Failure::new(format!("--queue: '{queue}' is no name")));
    }
    let fleet = verbs::open(settings).await?;
    let mut digests = Vec::new();
    for file in files {
        let bytes = std::fs::read(file);
        let bytes = bytes.map_err(Failure::at(format!("cannot read {}", file.display())))?;
        let digest = store::put(&fleet, queue, &bytes).await?;
        tell(&format!("{digest}  {}", file.display()));
        digests.push(digest);
    }
    let pool = pool.unwrap_or_else(|| settings.machine.pool.clone());
    let order = Order::Prefetch {
        queue: queue.to_owned(),
        sha256: digests,
    };
    let mut failed = 0;
    for seen in verbs::machines(&fleet).await? {
        if seen.machine.pool != pool {
            continue;
        }
        match ask(&fleet, &seen.machine.id, &order).await {
            Ok(Reply { error: None, .. }) => tell(&format!("{} has them", seen.machine.id)),
            Ok(Reply {
                error: Some(why), ..
            }) => {
                failed += 1;
                complain(&format!("{}: {why}", seen.machine.id));
            }
            Err(failure) => {
                failed += 1;
                complain(&failure.to_string());
            }
        }
    }
    match failed {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} machines did not get them"))),
    }
}

async fn ask(fleet: &Fleet, machine: &str, order: &Order) -> Result<Reply, Failure> {
    let what = format!("cannot reach the machine {machine}");
    let payload = serde_json::to_vec(order).map_err(Failure::at(&what))?;
    let reply = fleet
        .client
        .request(control_subject(machine), payload.into())
        .await;
    let reply = reply.map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => {
            Failure::new(format!("{what}: no worker of this name runs"))
        }
        _ => Failure::at(&what)(error),
    })?;
    serde_json::from_slice(&reply.payload).map_err(Failure::at(what))
}
