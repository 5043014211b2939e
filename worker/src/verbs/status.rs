//! `status`: what waits, and which machines there are.

use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt;
use serde_json::json;

use crate::failure::Failure;
use crate::settings::Settings;
use crate::tell::tell;
use crate::{names, verbs};

/// A queue of a pool.
struct Waiting {
    pool: String,
    priority: String,
    queue: String,
    pending: u64,
    running: usize,
    oldest: f64,
}

/// Shows it.
///
/// # Errors
///
/// The server does not answer.
pub(crate) async fn status(settings: &Settings, as_json: bool) -> Result<(), Failure> {
    let fleet = verbs::open(settings).await?;
    let names: Result<Vec<String>, _> = fleet.jetstream.stream_names().try_collect().await;
    let mut names = names.map_err(Failure::at("cannot list the streams"))?;
    names.sort();
    let mut found = Vec::new();
    for name in names.iter().filter(|name| names::pool_of(name).is_some()) {
        let jobs = fleet.stream(name).await?;
        let consumers: Result<Vec<_>, _> = jobs.consumers().try_collect().await;
        let consumers = consumers.map_err(Failure::at("cannot list the consumers"))?;
        found.extend(consumers.into_iter().map(|info| (jobs.clone(), info)));
    }
    let mut waiting = Vec::new();
    for (jobs, info) in found {
        let Some((pool, priority, queue)) = names::parts_of_consumer(&info.name) else {
            continue;
        };
        let mut oldest = 0.0;
        if info.num_pending > 0 {
            let after = info.delivered.stream_sequence + 1;
            let first = jobs
                .direct_get_next_for_subject(&info.config.filter_subject, Some(after))
                .await;
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let age = |sent: i64| now.as_secs_f64() - sent as f64;
            oldest = first.map_or(0.0, |first| age(first.time.unix_timestamp()).max(0.0));
        }
        waiting.push(Waiting {
            pool: pool.into(),
            priority: priority.to_string(),
            queue: queue.into(),
            pending: info.num_pending,
            running: info.num_ack_pending,
            oldest,
        });
    }
    let machines = verbs::machines(&fleet).await?;
    if as_json {
        let queues: Vec<_> = waiting
            .iter()
            .map(|one| {
                json!({
                    "pool": one.pool, "priority": one.priority, "queue": one.queue,
                    "pending": one.pending, "running": one.running, "oldest_seconds": one.oldest,
                })
            })
            .collect();
        tell(&json!({"format": 1, "queues": queues, "machines": machines}).to_string());
        return Ok(());
    }
    tell("POOL              PRIORITY  QUEUE             WAITING  RUNNING  OLDEST");
    for one in waiting
        .iter()
        .filter(|one| one.pending > 0 || one.running > 0 || one.priority == "live")
    {
        tell(&format!(
            "{:16}  {:8}  {:16}  {:7}  {:7}  {:5.0}s",
            one.pool, one.priority, one.queue, one.pending, one.running, one.oldest
        ));
    }
    tell("");
    tell("MACHINE           POOL              SLOTS  BUSY  SPOOL  STATE");
    for seen in machines {
        let state = seen
            .draining
            .map_or("works".to_owned(), |why| format!("drains: {why}"));
        let (id, pool) = (&seen.machine.id, &seen.machine.pool);
        tell(&format!(
            "{id:16}  {pool:16}  {:5}  {:4}  {:5}  {state}",
            seen.slots, seen.busy, seen.spool
        ));
    }
    Ok(())
}
