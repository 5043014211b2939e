//! What people do with a fleet: a file for each command.

pub(crate) mod dead;
pub(crate) mod drift;
pub(crate) mod orders;
pub(crate) mod setup;
pub(crate) mod status;
pub(crate) mod submit;
mod wait;

use crate::connection::{Fleet, connect};
use crate::failure::Failure;
use crate::machine::Seen;
use crate::names::MACHINES;
use crate::settings::Settings;

/// A connection for one command.
async fn open(settings: &Settings) -> Result<Fleet, Failure> {
    let (client, jetstream) = connect(&settings.nats, "isolate-run-worker", false).await?;
    Fleet::open(client, jetstream).await
}

/// The machines that are there.
async fn machines(fleet: &Fleet) -> Result<Vec<Seen>, Failure> {
    use futures_util::TryStreamExt;
    let what = "cannot list the machines";
    let machines = fleet.bucket(MACHINES).await?;
    let keys = machines.keys().await.map_err(Failure::at(what))?;
    let mut keys: Vec<String> = keys.try_collect().await.map_err(Failure::at(what))?;
    keys.sort();
    let mut found = Vec::new();
    for key in keys {
        let Some(value) = machines.get(&key).await.map_err(Failure::at(what))? else {
            continue;
        };
        match serde_json::from_slice(&value) {
            Ok(seen) => found.push(seen),
            Err(error) => log::warn!("cannot read what machine {key} says of itself: {error}"),
        }
    }
    Ok(found)
}
