//! Jobs in a form that is newer than this worker. While a fleet is upgraded, a machine of the pool
//! may know it already, and is to have them: nothing is final that only this machine says.

use async_nats::jetstream::stream::DirectGetErrorKind;
use isolate_run_client::FleetOutcome;

use crate::carry::{self, End, Name};
use crate::decide::{Before, TooNew, before, too_new};
use crate::failure::Failure;
use crate::machine::Seen;
use crate::names::{MACHINES, consumer_of, machine_subject};
use crate::patience::Patience;
use crate::station::Station;
use crate::validate::Newer;

/// How such a job ends here.
///
/// # Errors
///
/// The server does not answer.
pub(crate) async fn hand_on(
    station: &Station,
    name: &Name,
    newer: &Newer,
    reason: String,
) -> Result<End, Failure> {
    let Some(mut errors) = carry::known(station, name).await? else {
        return Ok(End::Known);
    };
    let arrival = carry::arrival(station, name, newer.not_after, &errors);
    if let Before::Result(outcome, reason) = before(arrival) {
        return Ok(End::Result(outcome, Some(reason), None));
    }
    let knows = who_knows(station, newer.format).await?;
    let is_last = is_last(station, name).await?;
    let who = knows.as_ref().map(|seen| seen.machine.id.as_str());
    let leaves = match too_new(&errors, newer.format, who, is_last) {
        // While it takes nothing, the queue's other jobs are not to wait for it as well.
        TooNew::Leave => knows.is_some_and(|seen| seen.draining.is_none()),
        TooNew::Wait => false,
        TooNew::Refuse(reason) => {
            return Ok(End::Result(FleetOutcome::Refused, Some(reason), None));
        }
    };
    errors.handed_on += 1;
    Ok(End::HandOn {
        reason,
        errors,
        leaves,
    })
}

/// A machine of this pool that knows this form, best one that takes jobs: others will be back.
async fn who_knows(station: &Station, format: u64) -> Result<Option<Seen>, Failure> {
    let stream = station.fleet.stream(&format!("KV_{MACHINES}")).await?;
    let (mut position, mut drains) = (1, None);
    let mut patience = Patience::new();
    loop {
        let stream = &stream;
        let next = || async move {
            let found = stream.direct_get_next_for_subject(machine_subject("*"), Some(position));
            match found.await {
                Ok(message) => Ok(Some(message)),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
                Err(error) => Err(Failure::at("cannot list the machines")(error)),
            }
        };
        let Some(message) = patience.ask(next).await? else {
            return Ok(drains);
        };
        position = message.sequence + 1;
        // One that is gone has left an empty message.
        let Ok(seen) = serde_json::from_slice::<Seen>(&message.payload) else {
            continue;
        };
        if seen.machine.pool == station.machine.pool && u64::from(seen.format) >= format {
            if seen.draining.is_none() {
                return Ok(Some(seen));
            }
            drains = Some(seen);
        }
    }
}

/// Whether the queue gives the job to nobody after this.
async fn is_last(station: &Station, name: &Name) -> Result<bool, Failure> {
    let what = "cannot ask how often a job is delivered";
    let mut patience = Patience::new();
    let asked = patience.ask(|| async {
        let info = station.jobs.consumer_info(consumer_of(&name.subject)).await;
        info.map_err(Failure::at(what))
    });
    let most = asked.await?.config.max_deliver;
    Ok(most > 0 && name.delivery >= most.unsigned_abs())
}
