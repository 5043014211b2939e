//! What is in the streams of a fleet.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::Info;
use futures_util::TryStreamExt;
use serde_json::Value;

use crate::schemas::mistake_in_job;
use crate::world::{PATIENCE, World};

impl World {
    /// The job that is the first in its queue.
    pub fn first_job(&self) -> Value {
        self.runtime.block_on(async {
            let jetstream = self.jetstream().await;
            let stream = jetstream.get_stream("ISO_JOBS_default").await.unwrap();
            let first = stream
                .direct_get_first_for_subject("iso.job.>")
                .await
                .unwrap();
            let job = serde_json::from_slice(&first.payload).unwrap();
            assert_eq!(mistake_in_job(&job), None);
            job
        })
    }

    /// How many messages the streams have whose name begins so, of which there are some.
    pub fn messages(&self, begin: &str) -> u64 {
        let end = Instant::now() + PATIENCE;
        loop {
            let streams: Result<Vec<_>, _> = self
                .runtime
                .block_on(async { self.jetstream().await.streams().try_collect().await });
            let ours = streams.as_deref().unwrap_or_default().iter();
            let ours = ours.filter(|info| info.config.name.starts_with(begin));
            let counts: Vec<u64> = ours.map(|info| info.state.messages).collect();
            // Servers that have just found each other do not know who of them decides.
            if !counts.is_empty() {
                return counts.iter().sum();
            }
            assert!(
                Instant::now() < end,
                "no stream {begin}: {:?}",
                streams.err()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Who decides about a stream, as soon as that is known and the others have what it has.
    pub fn leader(&self, stream: &str) -> usize {
        let end = Instant::now() + PATIENCE;
        loop {
            let cluster = self.runtime.block_on(async {
                let stream = self.jetstream().await.get_stream(stream).await.ok()?;
                stream.cached_info().cluster.clone()
            });
            if let Some(cluster) = &cluster {
                let is_well = cluster
                    .replicas
                    .iter()
                    .all(|one| one.current && !one.offline);
                let name = cluster
                    .leader
                    .as_deref()
                    .and_then(|name| name.strip_prefix('n'));
                if let (Some(number), true) = (name, is_well && cluster.replicas.len() == 2) {
                    return number.parse().unwrap();
                }
            }
            assert!(
                Instant::now() < end,
                "{stream} does not come to rest: {cluster:?}"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// All results, once there are so many: a server may be asked that does not have them yet.
    pub fn all_results(&self, count: usize) -> Vec<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let results = self.results();
            if results.len() >= count || Instant::now() > end {
                return results;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Takes all messages out of a stream, as if it had lost them.
    pub fn purge(&self, stream: &str) {
        self.runtime.block_on(async {
            let stream = self.jetstream().await.get_stream(stream).await.unwrap();
            stream.purge().await.unwrap();
        });
    }

    /// Waits until no job is left: none that anybody would be given again. A server that is killed
    /// just when a job was acknowledged may keep the message itself.
    pub fn wait_until_empty(&self) {
        let start = Instant::now();
        while let left @ 1.. = self.messages("ISO_JOBS_") {
            if start.elapsed() > PATIENCE / 2 && left == self.messages("ISO_JOBS_default") {
                let consumers = self.consumers();
                let given = |info: &Info| info.num_pending > 0 || info.num_ack_pending > 0;
                if !consumers.is_empty() && !consumers.iter().any(given) {
                    return;
                }
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{left} jobs are left: {}",
                self.left()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Those of the jobs of pool default.
    pub fn consumers(&self) -> Vec<Info> {
        let consumers: Result<Vec<Info>, String> = self.runtime.block_on(async {
            let jetstream = self.jetstream().await;
            let stream = jetstream.get_stream("ISO_JOBS_default").await;
            let stream = stream.map_err(|error| error.to_string())?;
            let consumers = stream.consumers().try_collect().await;
            consumers.map_err(|error| error.to_string())
        });
        consumers.unwrap_or_default()
    }

    /// What is known of the jobs that are left, for whoever has to find out why.
    fn left(&self) -> String {
        let consumers = self.consumers();
        let told = consumers.iter().map(|info| {
            let Info { name, num_pending, num_ack_pending, num_redelivered, .. } = info;
            let (delivered, floor) = (info.delivered.stream_sequence, info.ack_floor.stream_sequence);
            format!("\n{name}: {num_pending} pending, {num_ack_pending} unacknowledged, {num_redelivered} again, delivered {delivered}, floor {floor}")
        });
        let logs = self.workers.keys().map(|id| {
            let log = self.log(id);
            let lines: Vec<&str> = log.lines().rev().take(5).collect();
            format!("\n{id}: {}", lines.join("\n  "))
        });
        format!(
            "{}{}{}",
            self.first_job(),
            told.collect::<String>(),
            logs.collect::<String>()
        )
    }
}
