//! What a worker does besides jobs: it tells that it is there, takes orders, and learns which jobs
//! are to end and when there are new ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Message;
use async_nats::jetstream::kv::Operation;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::fail;
use crate::failure::Failure;
use crate::files;
use crate::machine::Seen;
use crate::names::{self, control_subject, wake_subject};
use crate::station::{Station, lock, now};

/// How often a machine tells that it is there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A difference of clocks that is worth a word, in milliseconds.
const CLOCK_OFF: i64 = 2000;
/// How long is waited before something that went wrong is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// An order to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub(crate) enum Order {
    /// Take no more jobs.
    Drain { reason: String },
    /// Take jobs again.
    Undrain,
    /// Get these files.
    Prefetch { queue: String, sha256: Vec<String> },
}

/// What a machine says to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// What did not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// How many jobs are still under way.
    pub(crate) busy: usize,
}

/// Tells that this machine is there, from time to time, and at once when it begins or ends to
/// drain.
pub(crate) async fn tell_of_itself(station: Arc<Station>, since: u64) {
    let mut drain = station.drain.watch();
    loop {
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {}
            _ = drain.changed() => {}
        }
        tell_once(&station, since).await;
        count_queues(&station).await;
    }
}

/// Tells that this machine is there.
pub(crate) async fn tell_once(station: &Station, since: u64) {
    let seen = Seen {
        machine: station.machine.clone(),
        slots: station.slots,
        busy: station.busy(),
        draining: station.drain.reason(),
        spool: station.spool.len(),
        worker: fail::version(),
        format: fail::known_format(),
        since,
    };
    let Ok(bytes) = serde_json::to_vec(&seen) else {
        return;
    };
    let (id, sent) = (&station.machine.id, now());
    match station.machines.put(id, bytes.into()).await {
        Ok(revision) => compare_clocks(station, revision, sent).await,
        Err(error) => log::debug!("cannot tell of this machine: {error}"),
    }
}

/// Finds out by how much the servers' clock differs, from the time that a server gives to what was
/// just put there.
async fn compare_clocks(station: &Station, revision: u64, ours: u64) {
    let entry = station
        .machines
        .entry_for_revision(&station.machine.id, revision)
        .await;
    let Ok(Some(entry)) = entry else { return };
    let theirs = entry.created.unix_timestamp_nanos() / 1_000_000;
    let offset = i64::try_from(theirs - i128::from(ours)).unwrap_or_default();
    if offset.abs() > CLOCK_OFF {
        log::warn!("the servers' clock is {offset} ms ahead of this machine's");
    }
    station.clock_offset.store(offset, Ordering::Relaxed);
}

/// Finds out what waits in the queues of the pool.
async fn count_queues(station: &Station) {
    if station.settings.metrics.listen.is_none() {
        return;
    }
    let mut consumers = station.jobs.consumer_names();
    while let Some(Ok(name)) = consumers.next().await {
        let Some((pool, priority, queue)) = names::parts_of_consumer(&name) else {
            continue;
        };
        let Ok(info) = station.jobs.consumer_info(&name).await else {
            continue;
        };
        let oldest = oldest(station, &info).await;
        station
            .metrics
            .queue(pool, queue, priority.name(), info.num_pending, oldest);
    }
}

/// How many seconds the first job that waits has waited.
async fn oldest(station: &Station, info: &async_nats::jetstream::consumer::Info) -> f64 {
    if info.num_pending == 0 {
        return 0.0;
    }
    let (subject, after) = (
        &info.config.filter_subject,
        info.delivered.stream_sequence + 1,
    );
    let first = station
        .jobs
        .direct_get_next_for_subject(subject.as_str(), Some(after))
        .await;
    let sent = first
        .ok()
        .map(|message| message.time.unix_timestamp_nanos() / 1_000_000);
    let sent = sent.and_then(|sent| u64::try_from(sent).ok());
    sent.map_or(0.0, |sent| now().saturating_sub(sent) as f64 / 1000.0)
}

/// Takes orders, for as long as there is a connection at all.
pub(crate) async fn take_orders(station: Arc<Station>) -> Result<(), Failure> {
    let subject = control_subject(&station.machine.id);
    let orders = station.fleet.client.subscribe(subject).await;
    let mut orders = orders.map_err(Failure::at("cannot listen for orders"))?;
    while let Some(message) = orders.next().await {
        let reply = obey(&station, &message).await;
        if let (Some(to), Ok(bytes)) = (message.reply, serde_json::to_vec(&reply)) {
            // Whoever asked may be gone.
            station.fleet.client.publish(to, bytes.into()).await.ok();
        }
    }
    Ok(())
}

async fn obey(station: &Station, message: &Message) -> Reply {
    let mut reply = Reply::default();
    match serde_json::from_slice(&message.payload) {
        Ok(Order::Drain { reason }) => station.drain.begin(&reason),
        Ok(Order::Undrain) => station.drain.end(),
        Ok(Order::Prefetch { queue, .. }) if !names::is_name(&queue) => {
            reply.error = Some(format!("'{queue}' is no queue"));
        }
        Ok(Order::Prefetch { queue, sha256 }) => {
            for digest in sha256.iter().filter(|digest| names::is_digest(digest)) {
                if let Err(missing) = files::get(station, &queue, digest).await {
                    reply.error = Some(format!("{missing:?}"));
                }
            }
        }
        Err(error) => reply.error = Some(format!("the order makes no sense: {error}")),
    }
    reply.busy = station.busy();
    reply
}

/// Hears that there are new jobs.
pub(crate) async fn hear_of_jobs(station: Arc<Station>) -> Result<(), Failure> {
    let subject = wake_subject(&station.machine.pool);
    let heard = station.fleet.client.subscribe(subject).await;
    let mut heard = heard.map_err(Failure::at("cannot listen for new jobs"))?;
    while heard.next().await.is_some() {
        station.wake.notify_one();
    }
    Ok(())
}

/// Learns which jobs are to end: those that were told before, and those to come.
pub(crate) async fn learn_of_cancelled(station: Arc<Station>) {
    loop {
        match station.cancel.watch_with_history(">").await {
            Ok(mut entries) => {
                while let Some(Ok(entry)) = entries.next().await {
                    if entry.operation != Operation::Put {
                        lock(&station.cancelled).remove(&entry.key);
                        continue;
                    }
                    lock(&station.cancelled).insert(entry.key.clone());
                    let (queue, id) = entry.key.split_once('.').unwrap_or_default();
                    match lock(&station.running).get(id) {
                        // It may have ended by itself.
                        Some((of, job)) if of == queue => {
                            job.send("somebody cancelled it").ok();
                        }
                        _ => {}
                    }
                }
            }
            Err(error) => log::debug!("cannot watch which jobs are cancelled: {error}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
