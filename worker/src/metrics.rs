//! What Prometheus reads.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use isolate_run_client::{FleetOutcome, Times};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::station::Station;

/// A word as a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Word(String);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        encoder.write_str(&self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    outcome: Word,
    priority: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    pool: Word,
    queue: Word,
    priority: Word,
}

type Seconds = Family<PhaseLabels, Histogram, fn() -> Histogram>;

/// All of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    jobs: Family<JobLabels, Counter>,
    seconds: Seconds,
    pending: Family<QueueLabels, Gauge>,
    oldest: Family<QueueLabels, Gauge<f64, AtomicU64>>,
    pub(crate) redeliveries: Counter,
    pub(crate) heartbeat_failures: Counter,
    pub(crate) internal_errors: Counter,
    slots: Gauge,
    busy: Gauge,
    draining: Gauge,
    spool: Gauge,
    cache: Gauge,
}

impl Metrics {
    /// With what does not change.
    pub(crate) fn new(labels: &[(&'static str, String)]) -> Self {
        let mut registry = Registry::with_prefix("isolate_run_worker");
        let seconds: Seconds =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 20)));
        let mut metrics = Self {
            registry: Registry::default(),
            jobs: Family::default(),
            seconds,
            pending: Family::default(),
            oldest: Family::default(),
            redeliveries: Counter::default(),
            heartbeat_failures: Counter::default(),
            internal_errors: Counter::default(),
            slots: Gauge::default(),
            busy: Gauge::default(),
            draining: Gauge::default(),
            spool: Gauge::default(),
            cache: Gauge::default(),
        };
        let own = |text: &str| text.to_owned();
        registry.register("build", own("What this is"), Info::new(labels.to_vec()));
        registry.register("jobs", own("Results published"), metrics.jobs.clone());
        registry.register(
            "job_seconds",
            own("How long jobs took: files, run"),
            metrics.seconds.clone(),
        );
        registry.register(
            "queue_pending",
            own("Jobs of this pool that wait"),
            metrics.pending.clone(),
        );
        registry.register(
            "queue_oldest_seconds",
            own("How long the next job of this queue has waited"),
            metrics.oldest.clone(),
        );
        registry.register(
            "redeliveries",
            own("Jobs that came not for the first time"),
            metrics.redeliveries.clone(),
        );
        registry.register(
            "heartbeat_failures",
            own("Leases that could not be renewed"),
            metrics.heartbeat_failures.clone(),
        );
        registry.register(
            "internal_errors",
            own("Jobs that did not work here"),
            metrics.internal_errors.clone(),
        );
        registry.register(
            "slots",
            own("Jobs that run at a time"),
            metrics.slots.clone(),
        );
        registry.register("slots_busy", own("Jobs that run now"), metrics.busy.clone());
        registry.register(
            "draining",
            own("1: no more jobs are taken"),
            metrics.draining.clone(),
        );
        registry.register(
            "spool_files",
            own("Results that are not published yet"),
            metrics.spool.clone(),
        );
        registry.register("cache_bytes", own("Files by digest"), metrics.cache.clone());
        metrics.registry = registry;
        metrics
    }

    /// A result was published.
    pub(crate) fn count(&self, subject: &str, outcome: FleetOutcome, times: &Times) {
        let priority = subject.split('.').nth(3).unwrap_or_default();
        let labels = JobLabels {
            outcome: Word(outcome.name().into()),
            priority: Word(priority.into()),
        };
        self.jobs.get_or_create(&labels).inc();
        let phase = |name: &str, from: u64, to: u64| {
            let labels = PhaseLabels {
                phase: Word(name.into()),
            };
            let seconds = to.saturating_sub(from) as f64 / 1000.0;
            self.seconds.get_or_create(&labels).observe(seconds);
        };
        if let (Some(ready), Some(begun)) = (times.files_ready, times.begun) {
            phase("files", times.received, ready);
            phase("run", begun, times.ended);
        }
    }

    /// How much waits.
    pub(crate) fn queue(&self, pool: &str, queue: &str, priority: &str, pending: u64, oldest: f64) {
        let labels = QueueLabels {
            pool: Word(pool.into()),
            queue: Word(queue.into()),
            priority: Word(priority.into()),
        };
        let pending = i64::try_from(pending).unwrap_or(i64::MAX);
        self.pending.get_or_create(&labels).set(pending);
        self.oldest.get_or_create(&labels).set(oldest);
    }

    /// All as text.
    fn text(&self, station: &Station) -> String {
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.slots.set(number(station.slots));
        self.busy.set(number(station.busy()));
        self.draining
            .set(i64::from(station.drain.reason().is_some()));
        self.spool.set(number(station.spool.len()));
        self.cache
            .set(i64::try_from(station.cache.size()).unwrap_or(i64::MAX));
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}

/// Answers everybody who asks, whatever they ask for.
pub(crate) async fn serve(station: Arc<Station>, listener: TcpListener) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            continue;
        };
        let station = Arc::clone(&station);
        tokio::spawn(async move {
            let mut request = [0; 4096];
            // Whoever asks nothing, or goes away, gets nothing.
            if !matches!(stream.read(&mut request).await, Ok(1..)) {
                return;
            }
            let text = station.metrics.text(&station);
            let mut answer = String::new();
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            let length = text.len();
            // Nothing can go wrong with a string.
            write!(answer, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}").ok();
            stream.write_all(answer.as_bytes()).await.ok();
        });
    }
}
