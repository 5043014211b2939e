//! What `worker.toml` can say, with its defaults, and what makes sense together. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::failure::Failure;
use crate::names::is_name;
use crate::quantity::{Size, Span};

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// What this machine is.
    pub(crate) machine: MachineSettings,
    /// Where the queue is.
    pub(crate) nats: NatsSettings,
    /// How many jobs run at a time.
    pub(crate) slots: SlotSettings,
    /// The queues that `setup` makes, with their shares.
    pub(crate) queues: BTreeMap<String, QueueSettings>,
    /// How jobs are taken.
    pub(crate) jobs: JobSettings,
    /// What a job may ask for.
    pub(crate) allow: AllowSettings,
    /// Files by digest.
    pub(crate) files: FileSettings,
    /// What `setup` makes.
    pub(crate) streams: StreamSettings,
    /// What is told of itself.
    pub(crate) metrics: MetricsSettings,
}

/// `[machine]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MachineSettings {
    /// What the fleet calls it; empty: the first word of the host's name.
    pub(crate) id: String,
    /// Its class: machines of one are alike.
    pub(crate) pool: String,
    /// The program that runs jobs.
    pub(crate) program: PathBuf,
    /// Where results wait until they are published.
    pub(crate) state_dir: PathBuf,
}

/// `[nats]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NatsSettings {
    /// The servers, any of which will do.
    pub(crate) urls: Vec<String>,
    /// A credentials file; without it `nats.creds` of the service's credentials, if there is one.
    pub(crate) credentials: Option<PathBuf>,
    /// A file with the seed of an nkey; without it `nats.nk` of the service's credentials.
    pub(crate) nkey: Option<PathBuf>,
    /// A file with `user:password`; without it `nats.password` of the service's credentials.
    pub(crate) password: Option<PathBuf>,
    /// What the subjects begin with on which answers of the servers are heard. None: `_INBOX`, pool
    /// and machine.
    pub(crate) inbox: Option<String>,
    /// Whose certificates are trusted, besides those of the system.
    pub(crate) ca: Option<PathBuf>,
    /// A certificate of the worker's own.
    pub(crate) certificate: Option<PathBuf>,
    /// Its key.
    pub(crate) key: Option<PathBuf>,
}

/// `[slots]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SlotSettings {
    /// How many; none: one for each core, but for those reserved.
    pub(crate) count: Option<usize>,
    /// Cores that are for the machine itself.
    pub(crate) reserve: usize,
    /// Whether threads of one core count as cores.
    pub(crate) share_cores: bool,
}

/// `[queues.NAME]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QueueSettings {
    /// Its share among the queues that have jobs of the same priority.
    pub(crate) weight: u32,
}

/// `[jobs]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct JobSettings {
    /// How long a job of a machine that is silent waits for another one.
    pub(crate) lease: Span,
    /// How often a job is tried before it is given up.
    pub(crate) max_deliveries: u64,
    /// How long after an internal error it is tried again.
    pub(crate) retry_after: Span,
    /// The longest that one may run.
    pub(crate) max_time: Span,
    /// How many different jobs in a row have to fail for the machine to drain.
    pub(crate) drain_after: usize,
}

/// `[allow]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AllowSettings {
    /// Whether jobs may have the machine's network.
    pub(crate) network: bool,
    /// Directory rules that jobs may have, word for word.
    pub(crate) dirs: Vec<String>,
    /// The most steps of a job, repetitions counted.
    pub(crate) steps: usize,
    /// The most files of a job.
    pub(crate) files: usize,
}

/// `[files]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FileSettings {
    /// Where they are kept. The batch of a user who is not root has them in `isolate-run` below it.
    pub(crate) cache_dir: PathBuf,
    /// How much they may be.
    pub(crate) cache_max: Size,
    /// The largest.
    pub(crate) max: Size,
    /// With less free space the machine drains.
    pub(crate) min_free: Size,
}

/// `[streams]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StreamSettings {
    /// On how many servers each stream is: 1, 3 or 5.
    pub(crate) replicas: usize,
    /// How much all waiting jobs may be; beyond it submitters are told to wait.
    pub(crate) jobs_max: Size,
    /// How much all files may be.
    pub(crate) files_max: Size,
    /// How long results and jobs are kept.
    pub(crate) keep: Span,
}

/// `[metrics]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MetricsSettings {
    /// Where they can be read by HTTP; none: nowhere.
    pub(crate) listen: Option<SocketAddr>,
}

impl Default for MachineSettings {
    fn default() -> Self {
        Self {
            id: String::new(),
            pool: "default".into(),
            program: "isolate-run".into(),
            state_dir: "/var/lib/isolate-run-worker".into(),
        }
    }
}

impl Default for NatsSettings {
    fn default() -> Self {
        Self {
            urls: vec!["nats://127.0.0.1:4222".into()],
            credentials: None,
            nkey: None,
            password: None,
            inbox: None,
            ca: None,
            certificate: None,
            key: None,
        }
    }
}

impl Default for SlotSettings {
    fn default() -> Self {
        Self {
            count: None,
            reserve: 1,
            share_cores: false,
        }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { weight: 1 }
    }
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            lease: Span(Duration::from_secs(30)),
            max_deliveries: 3,
            retry_after: Span(Duration::from_secs(5)),
            max_time: Span(Duration::from_secs(3600)),
            drain_after: 3,
        }
    }
}

impl Default for AllowSettings {
    fn default() -> Self {
        Self {
            network: false,
            dirs: Vec::new(),
            steps: 1000,
            files: 1000,
        }
    }
}

impl Default for FileSettings {
    fn default() -> Self {
        Self {
            cache_dir: "/var/cache/isolate-run-worker".into(),
            cache_max: Size(20 << 30),
            max: Size(64 << 20),
            min_free: Size(1 << 30),
        }
    }
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            replicas: 3,
            jobs_max: Size(1 << 30),
            files_max: Size(8 << 30),
            keep: Span(Duration::from_secs(7 * 86400)),
        }
    }
}

impl Settings {
    /// What no type says.
    ///
    /// # Errors
    ///
    /// The key, its value and what it has to be.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let wrong = |key: &str, value: &dyn std::fmt::Display, want: &str| {
            Err(Failure::new(format!("{key}: '{value}' is not {want}")))
        };
        let name = "a name: up to 32 letters, digits and hyphens";
        if !self.machine.id.is_empty() && !is_name(&self.machine.id) {
            return wrong("machine.id", &self.machine.id, name);
        }
        if !is_name(&self.machine.pool) {
            return wrong("machine.pool", &self.machine.pool, name);
        }
        for (queue, settings) in &self.queues {
            if !is_name(queue) {
                return wrong("queues", queue, name);
            }
            if settings.weight == 0 || settings.weight > 1000 {
                let key = format!("queues.{queue}.weight");
                return wrong(&key, &settings.weight, "between 1 and 1000");
            }
        }
        if self.nats.urls.is_empty() {
            return Err(Failure::new("nats.urls is empty: it has to name a server"));
        }
        if self.nats.urls.iter().any(|url| url.contains('@')) {
            // Whoever sees a URL in a message or a list of processes is not to see a password.
            return Err(Failure::new(
                "nats.urls: a URL has no user or password here; see nats.password",
            ));
        }
        let is_part = |part: &str| {
            let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !part.is_empty() && part.bytes().all(is_of_it)
        };
        if let Some(inbox) = self.nats.inbox.as_ref() {
            if !inbox.split('.').all(is_part) {
                return wrong("nats.inbox", inbox, "words with dots between them");
            }
        }
        if self.slots.count == Some(0) {
            return wrong("slots.count", &0, "at least 1");
        }
        if !matches!(self.streams.replicas, 1 | 3 | 5) {
            return wrong("streams.replicas", &self.streams.replicas, "1, 3 or 5");
        }
        let lease = self.jobs.lease.0;
        if lease < Duration::from_secs(1) || lease > Duration::from_secs(3600) {
            return wrong("jobs.lease", &format!("{lease:?}"), "between 1s and 1h");
        }
        if !(1..=5).contains(&self.jobs.max_deliveries) {
            return wrong(
                "jobs.max_deliveries",
                &self.jobs.max_deliveries,
                "between 1 and 5",
            );
        }
        if self.jobs.drain_after == 0 {
            return wrong("jobs.drain_after", &0, "at least 1");
        }
        let paths = [
            ("machine.state_dir", &self.machine.state_dir),
            ("files.cache_dir", &self.files.cache_dir),
        ];
        for (key, path) in paths {
            if !path.is_absolute() {
                return wrong(key, &path.display(), "an absolute path");
            }
        }
        Ok(())
    }

    /// The queues that there are at least.
    pub(crate) fn queues(&self) -> Vec<String> {
        match self.queues.is_empty() {
            true => vec!["default".into()],
            false => self.queues.keys().cloned().collect(),
        }
    }

    /// The share of a queue.
    pub(crate) fn weight(&self, queue: &str) -> u32 {
        self.queues.get(queue).map_or(1, |queue| queue.weight)
    }
}
