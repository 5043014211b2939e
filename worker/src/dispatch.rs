//! Gives jobs to slots that are free: one job is fetched for one slot, whenever there is one, from
//! the queue whose turn it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::message::Message;
use futures_util::StreamExt;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use crate::carry;
use crate::connection;
use crate::failure::Failure;
use crate::names;
use crate::shares::{Shares, Turn};
use crate::station::{Station, lock, now};

/// How long an empty queue is left alone, in milliseconds, unless somebody says that there are
/// jobs.
const POLL: u64 = 1000;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a fetch is waited for before the next queue is asked. Its job is taken when it comes.
const FETCH: Duration = Duration::from_secs(2);
/// How often it is looked which consumers there are.
const LOOK: Duration = Duration::from_secs(10);

/// Takes jobs until it is to stop, and waits for those that run.
pub(crate) async fn dispatch(
    station: Arc<Station>,
    mut stop: watch::Receiver<bool>,
    alive: watch::Sender<Instant>,
) {
    let slots = Arc::new(Semaphore::new(station.slots));
    let mut drain = station.drain.watch();
    let mut running = JoinSet::new();
    let mut queues = Queues::default();
    while !*stop.borrow() {
        alive.send_replace(Instant::now());
        while running.try_join_next().is_some() {}
        if drain.borrow_and_update().is_some() || !station.has_room() {
            tokio::select! {
                _ = drain.changed() => {}
                _ = stop.changed() => {}
                () = tokio::time::sleep(PATIENCE) => {}
            }
            continue;
        }
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            _ = stop.changed() => continue,
            () = tokio::time::sleep(PATIENCE) => continue,
        };
        queues.look(&station).await;
        let Some(message) = queues.next(&station).await else {
            // Nobody has a job.
            let pause = queues
                .shares
                .next_waking()
                .map_or(POLL, |at| at.saturating_sub(now()));
            let pause = Duration::from_millis(pause.clamp(1, POLL));
            tokio::select! {
                () = station.wake.notified() => queues.shares.wake(now() + POLL),
                _ = drain.changed() => {}
                _ = stop.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
            continue;
        };
        if *stop.borrow() || station.drain.reason().is_some() {
            let (_, acker) = message.split();
            carry::leave(&acker).await;
            continue;
        }
        let station = Arc::clone(&station);
        running.spawn(async move {
            carry::carry_out(station, message).await;
            drop(slot);
        });
    }
    while !running.is_empty() {
        alive.send_replace(Instant::now());
        // A task that panicked has lost its job to another machine.
        timeout(PATIENCE, running.join_next()).await.ok();
    }
}

/// The consumers of the pool, and whose turn it is.
#[derive(Default)]
struct Queues {
    shares: Shares,
    consumers: HashMap<String, PullConsumer>,
    looked: Option<Instant>,
    /// Fetches that were not answered in time, and since when.
    late: Vec<(Instant, Fetching)>,
}

/// One job that was asked for.
type Fetching = JoinHandle<Option<Message>>;

impl Queues {
    /// Finds out which consumers there are, from time to time.
    async fn look(&mut self, station: &Station) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        let looked = timeout(PATIENCE, turns(station)).await;
        match looked.unwrap_or_else(|_| Err(Failure::new("the server does not answer"))) {
            Ok(turns) => {
                if turns.is_empty() {
                    log::warn!(
                        "the pool {} has no queue (isolate-run-worker setup makes them)",
                        station.machine.pool
                    );
                }
                self.looked = Some(Instant::now());
                self.shares
                    .set(&turns, |queue| station.settings.weight(queue));
            }
            Err(failure) => {
                log::warn!("cannot see which queues there are: {failure}");
                self.looked.get_or_insert_with(Instant::now);
            }
        }
    }

    /// One job, if anybody has one.
    async fn next(&mut self, station: &Station) -> Option<Message> {
        let now = now();
        lock(&station.avoid).retain(|(_, until)| *until > now);
        if let Some(message) = self.late_one(station.settings.jobs.lease.0).await {
            return Some(message);
        }
        for turn in self.shares.order(now) {
            let subject = names::job_subject(&station.machine.pool, turn.priority, &turn.queue);
            let avoided = lock(&station.avoid)
                .iter()
                .find(|(avoid, _)| *avoid == subject)
                .cloned();
            if let Some((_, until)) = avoided {
                self.shares.had_none(&turn, until);
                continue;
            }
            let mut fetching = match self.fetch(station, &turn).await {
                Ok(fetching) => fetching,
                Err(failure) => {
                    log::debug!("{failure}");
                    self.shares.had_none(&turn, now + POLL);
                    continue;
                }
            };
            match timeout(FETCH, &mut fetching).await {
                Ok(Ok(Some(message))) => {
                    self.shares.had(&turn);
                    return Some(message);
                }
                Ok(_) => self.shares.had_none(&turn, now + POLL),
                Err(_) => {
                    log::debug!("the server is slow, or away");
                    self.shares.had_none(&turn, now + POLL);
                    self.late.push((Instant::now(), fetching));
                }
            }
        }
        None
    }

    /// A job whose answer took long. The server has counted its delivery: to drop it would be to
    /// have tried it.
    async fn late_one(&mut self, lease: Duration) -> Option<Message> {
        let mut waiting = Vec::new();
        let mut found = None;
        for (asked, fetching) in std::mem::take(&mut self.late) {
            if found.is_some() || !fetching.is_finished() {
                waiting.push((asked, fetching));
            } else if let Ok(Some(message)) = fetching.await {
                found = Some(message).filter(|_| asked.elapsed() < lease);
            }
        }
        self.late = waiting;
        found
    }

    /// Asks for one job. The answer ends with the lease that a job would have.
    async fn fetch(&mut self, station: &Station, turn: &Turn) -> Result<Fetching, Failure> {
        let name = names::consumer(&station.machine.pool, turn.priority, &turn.queue);
        let consumer = match self.consumers.get(&name) {
            Some(consumer) => consumer.clone(),
            None => {
                let found = timeout(PATIENCE, connection::consumer(&station.jobs, &name)).await;
                let silent = |_| Failure::new(format!("nobody tells of the consumer {name}"));
                let found = found.map_err(silent)??;
                self.consumers.insert(name.clone(), found.clone());
                found
            }
        };
        let lease = station.settings.jobs.lease.0;
        Ok(tokio::spawn(async move {
            let fetch = async {
                let mut messages = consumer.fetch().max_messages(1).messages().await.ok()?;
                messages.next().await?.ok()
            };
            timeout(lease, fetch).await.ok().flatten()
        }))
    }
}

/// The consumers of this pool.
async fn turns(station: &Station) -> Result<Vec<Turn>, Failure> {
    let mut names = station.jobs.consumer_names();
    let mut turns = Vec::new();
    while let Some(name) = names.next().await {
        let name = name.map_err(Failure::at("cannot list the consumers"))?;
        if let Some((pool, priority, queue)) = names::parts_of_consumer(&name) {
            if pool == station.machine.pool {
                turns.push(Turn {
                    priority,
                    queue: queue.to_owned(),
                });
            }
        }
    }
    Ok(turns)
}
