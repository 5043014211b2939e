//! A fleet for a test: servers, workers, and what is found in the streams.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use async_nats::jetstream::{self, stream::DirectGetErrorKind};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::fake;
use crate::schemas::mistake_in_result;
use crate::servers::{More, Servers};

const WORKER: &str = env!("CARGO_BIN_EXE_isolate-run-worker");
/// How long something may take on a machine that does a lot at the same time.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Who somebody is for the servers.
#[derive(Debug, Clone, Default)]
pub struct Who {
    /// What `[nats]` of worker.toml says.
    pub settings: String,
    /// The same for a client of this process: a file with the seed of a key, or user and password.
    pub key: Option<PathBuf>,
    pub password: Option<(String, String)>,
    pub ca: Option<PathBuf>,
}

/// All of it, in a folder that goes with it.
pub struct World {
    pub servers: Servers,
    pub dir: tempfile::TempDir,
    pub workers: BTreeMap<String, Child>,
    pub runtime: Runtime,
    admin: Who,
}

/// What a worker's configuration says besides.
#[derive(Debug, Clone, Default)]
pub struct Extra<'a> {
    pub pool: &'a str,
    pub program: &'a str,
    /// What else is in `[jobs]` and in `[files]`.
    pub jobs: &'a str,
    pub files: &'a str,
    pub env: &'a [(&'a str, &'a str)],
    /// By which ways it reaches the servers; none: straight.
    pub urls: Option<&'a [String]>,
    /// What is started in the place of the worker.
    pub worker: Option<&'a Path>,
    /// Whose commands these are; nobody's: the administrator's.
    pub who: Option<&'a Who>,
}

impl World {
    /// With so many servers, and queues for these pools.
    pub fn new(servers: usize, pools: &[&str]) -> Self {
        let mut world = Self::bare(servers, |_| (Who::default(), Box::new(|_| String::new())));
        world.set_up(pools, "");
        world
    }

    /// With servers alone: who the administrator is, and what else their configuration says.
    pub fn bare(servers: usize, guard: impl FnOnce(&Path) -> (Who, More)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (admin, more) = guard(dir.path());
        let servers = Servers::start(dir.path(), servers, more, None);
        Self::around(servers, dir, admin)
    }

    /// With a cluster of servers each of which has a disk of this size.
    pub fn on_disks(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let nothing = Box::new(|_| String::new());
        let servers = Servers::start(dir.path(), 3, nothing, Some(size));
        let mut world = Self::around(servers, dir, Who::default());
        world.set_up(&["default"], "");
        world
    }

    fn around(servers: Servers, dir: tempfile::TempDir, admin: Who) -> Self {
        fake::program(dir.path());
        Self {
            servers,
            dir,
            workers: BTreeMap::new(),
            runtime: Runtime::new().unwrap(),
            admin,
        }
    }

    /// Makes queues for these pools.
    pub fn set_up(&mut self, pools: &[&str], queues: &str) {
        let world = self;
        let end = Instant::now() + 2 * PATIENCE;
        let mut again = Instant::now() + PATIENCE / 4;
        for pool in pools {
            let config = world.config(
                "setup",
                &Extra {
                    pool,
                    jobs: queues,
                    ..Extra::default()
                },
            );
            // A cluster needs a while until it has chosen who decides.
            loop {
                let output = world.call(&config, &["setup"]);
                if output.status.success() {
                    break;
                }
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(Instant::now() < end, "{said}");
                // Some versions that began on a busy machine never place anything. As long as
                // nothing is there yet, nothing is lost.
                let is_new = pool == &pools[0] && world.servers.count() > 1;
                if is_new && Instant::now() > again {
                    again = Instant::now() + PATIENCE / 4;
                    world.servers.begin_anew();
                }
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the configuration of a machine.
    pub fn config(&self, id: &str, extra: &Extra<'_>) -> PathBuf {
        let replicas = if self.servers.count() == 1 { 1 } else { 3 };
        let place = self.dir.path().display();
        let urls = extra
            .urls
            .map_or_else(|| self.servers.urls(), <[String]>::to_vec);
        let pool = if extra.pool.is_empty() {
            "default"
        } else {
            extra.pool
        };
        let program = if extra.program.is_empty() {
            "isolate-run"
        } else {
            extra.program
        };
        let lease = match extra.jobs.contains("lease =") {
            true => "",
            false => "lease = \"2s\"\n",
        };
        let text = format!(
            "[machine]\nid = \"{id}\"\npool = \"{pool}\"\nprogram = \"{place}/{program}\"\nstate_dir = \"{place}/state-{id}\"\n\
             [nats]\nurls = {urls:?}\n{}\n[files]\ncache_dir = \"{place}/cache-{id}\"\nmin_free = \"{}\"\n{}\n\
             [streams]\nreplicas = {replicas}\njobs_max = \"256M\"\nfiles_max = \"256M\"\n\
             [slots]\ncount = 2\n[jobs]\n{lease}retry_after = \"200ms\"\n{}\n",
            extra.who.unwrap_or(&self.admin).settings,
            if extra.worker.is_some() { "1K" } else { "1M" },
            extra.files,
            extra.jobs
        );
        let file = self.path(&format!("{id}.toml"));
        fs::write(&file, text).unwrap();
        file
    }

    /// Starts a machine, or starts it again.
    pub fn start(&mut self, id: &str, extra: &Extra<'_>) {
        let config = self.config(id, extra);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{id}.log")))
            .unwrap();
        let mut command = Command::new(extra.worker.unwrap_or(Path::new(WORKER)));
        command
            .arg("--config")
            .arg(config)
            .envs(extra.env.iter().copied());
        command
            .env("FAKE_RAN", self.path("ran"))
            .env_remove("JOURNAL_STREAM");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.workers.insert(id.to_owned(), child);
    }

    /// As if its machine lost power.
    pub fn kill(&mut self, id: &str) {
        if let Some(mut child) = self.workers.remove(id) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn log(&self, id: &str) -> String {
        fs::read_to_string(self.path(&format!("{id}.log"))).unwrap_or_default()
    }

    /// Waits until a machine has said this.
    pub fn wait_for_log(&self, id: &str, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.log(id).contains(text) {
            assert!(
                Instant::now() < end,
                "{id} never said {text}: {}",
                self.log(id)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Calls a command of the worker.
    pub fn call(&self, config: &Path, words: &[&str]) -> Output {
        let mut command = Command::new(WORKER);
        command
            .arg("--config")
            .arg(config)
            .args(words)
            .stdin(Stdio::null());
        command.output().unwrap()
    }

    /// What `submit --wait` prints for a file of jobs in this queue.
    pub fn judged(&self, config: &Path, queue: &str, file: &Path) -> String {
        let file = file.to_str().unwrap();
        self.told(config, &["submit", "--wait", "--queue", queue, file])
    }

    /// Calls one that has to work; what it says.
    pub fn told(&self, config: &Path, words: &[&str]) -> String {
        let output = self.call(config, words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A file with these jobs.
    pub fn jobs(&self, name: &str, ids: impl IntoIterator<Item = String>) -> PathBuf {
        let line =
            |id: String| format!("{{\"id\":\"{id}\",\"steps\":[{{\"argv\":[\"/bin/true\"]}}]}}\n");
        let text: String = ids.into_iter().map(line).collect();
        let file = self.path(name);
        fs::write(&file, text).unwrap();
        file
    }

    /// Submits jobs of a pool.
    pub fn submit(&self, pool: &str, ids: &[&str]) {
        let config = self.config(
            "submitter",
            &Extra {
                pool,
                ..Extra::default()
            },
        );
        let file = self.jobs("submitted.jsonl", ids.iter().map(|id| (*id).to_owned()));
        self.told(&config, &["submit", file.to_str().unwrap()]);
    }

    /// Publishes as a stranger would.
    pub fn publish(&self, subject: &str, payload: &str) {
        let (subject, payload) = (subject.to_owned(), payload.to_owned());
        self.runtime.block_on(async {
            let jetstream = self.jetstream().await;
            jetstream
                .publish(subject, payload.into())
                .await
                .unwrap()
                .await
                .unwrap();
        });
    }

    pub async fn jetstream(&self) -> jetstream::Context {
        let admin = self.admin.clone();
        let mut options = ConnectOptions::new();
        if let Some((user, password)) = admin.password {
            options = options.user_and_password(user, password);
        }
        if let Some(file) = admin.key {
            let seed = fs::read_to_string(file).unwrap();
            options = options.nkey(seed.trim().to_owned());
        }
        if let Some(file) = admin.ca {
            options = options.add_root_certificates(file);
        }
        jetstream::new(options.connect(self.servers.urls()).await.unwrap())
    }

    /// All results, in the order in which they came.
    pub fn results(&self) -> Vec<Value> {
        self.runtime.block_on(async {
            let stream = self
                .jetstream()
                .await
                .get_stream("ISO_RESULTS")
                .await
                .unwrap();
            let (mut found, mut position) = (Vec::new(), 1);
            loop {
                match stream
                    .direct_get_next_for_subject("iso.result.>", Some(position))
                    .await
                {
                    Ok(message) => {
                        position = message.sequence + 1;
                        let result = serde_json::from_slice(&message.payload).unwrap();
                        assert_eq!(mistake_in_result(&result), None);
                        found.push(result);
                    }
                    Err(error) if error.kind() == DirectGetErrorKind::NotFound => return found,
                    Err(error) => panic!("{error}"),
                }
            }
        })
    }

    /// Waits for the result of a job.
    pub fn result(&self, id: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(result) = self.results().into_iter().find(|result| result["id"] == id) {
                return result;
            }
            let logs: Vec<String> = self.workers.keys().map(|id| self.log(id)).collect();
            let logs = logs.join("\n");
            assert!(Instant::now() < end, "{id} has no result: {logs}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How often each job was begun.
    pub fn ran(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for id in fs::read_to_string(self.path("ran"))
            .unwrap_or_default()
            .lines()
        {
            *counts.entry(id.to_owned()).or_default() += 1;
        }
        counts
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let ids: Vec<String> = self.workers.keys().cloned().collect();
        for id in ids {
            self.kill(&id);
        }
    }
}
