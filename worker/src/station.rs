//! What all jobs of a machine share while the worker runs.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_nats::jetstream::kv;
use async_nats::jetstream::stream::Stream;
use isolate_run_client::Machine;
use nix::sys::statvfs::statvfs;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use crate::batches::Batches;
use crate::cache::Cache;
use crate::connection::Fleet;
use crate::fail;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::spool::Spool;
use crate::trouble::{Streak, replaces};

/// All of it.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) settings: Settings,
    pub(crate) machine: Machine,
    pub(crate) slots: usize,
    pub(crate) fleet: Fleet,
    /// The jobs of this machine's pool.
    pub(crate) jobs: Stream<()>,
    /// Who is there, and what is to end.
    pub(crate) machines: kv::Store,
    pub(crate) cancel: kv::Store,
    pub(crate) spool: Spool,
    pub(crate) cache: Cache,
    pub(crate) batches: Batches,
    pub(crate) metrics: Metrics,
    pub(crate) drain: Drain,
    /// Jobs that are to end, each after its queue and a dot.
    pub(crate) cancelled: Mutex<HashSet<String>>,
    /// Jobs under way, with the queue of each and a way to end it.
    pub(crate) running: Mutex<HashMap<String, (String, mpsc::UnboundedSender<&'static str>)>>,
    /// Jobs that did not work.
    pub(crate) streak: Mutex<Streak>,
    /// A consumer whose job did not work here: others are to have it first.
    pub(crate) avoid: Mutex<Vec<(String, u64)>>,
    /// Whichever job has its last try has it.
    pub(crate) last_tries: Semaphore,
    /// There are new jobs.
    pub(crate) wake: Notify,
    /// By how many milliseconds the servers' clock is ahead of this machine's.
    pub(crate) clock_offset: AtomicI64,
}

/// Why no more jobs are taken, if so. It outlives the process.
#[derive(Debug)]
pub(crate) struct Drain {
    file: PathBuf,
    reason: watch::Sender<Option<String>>,
}

impl Drain {
    /// As it was left in this file.
    pub(crate) fn new(file: PathBuf) -> Self {
        let reason = fs::read_to_string(&file).ok();
        let reason = watch::Sender::new(reason.map(|text| text.trim().to_owned()));
        Self { file, reason }
    }

    /// Takes no more jobs.
    pub(crate) fn begin(&self, reason: &str) {
        self.reason.send_if_modified(|current| {
            if !replaces(current.as_deref(), reason) {
                return false;
            }
            log::warn!("draining: {reason}");
            if let Err(error) = fs::write(&self.file, reason) {
                log::warn!(
                    "cannot keep in {} that this machine drains: {error}",
                    self.file.display()
                );
            }
            *current = Some(reason.to_owned());
            true
        });
    }

    /// Takes jobs again.
    pub(crate) fn end(&self) {
        self.end_if(|_| true);
    }

    /// Takes jobs again if the reason not to is such a one.
    pub(crate) fn end_if(&self, is_over: impl Fn(&str) -> bool) {
        self.reason.send_if_modified(|current| {
            let is_over = current.as_deref().is_some_and(is_over);
            if is_over {
                // It may be gone already.
                fs::remove_file(&self.file).ok();
                *current = None;
                log::info!("no longer draining");
            }
            is_over
        });
    }

    /// Why, if so.
    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.borrow().clone()
    }

    /// Tells of changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<String>> {
        self.reason.subscribe()
    }
}

impl Station {
    /// Whether there is room for files and results; if not, the machine drains.
    pub(crate) fn has_room(&self) -> bool {
        let least = self.settings.files.min_free.0;
        for dir in [
            self.settings.files.cache_dir.as_path(),
            &self.settings.machine.state_dir,
        ] {
            let Ok(found) = statvfs(dir) else { continue };
            let free = found
                .blocks_available()
                .saturating_mul(found.fragment_size());
            if free < least {
                let place = dir.display();
                self.drain.begin(&format!(
                    "{place} has {free} bytes left, and files.min_free is {least}"
                ));
                return false;
            }
        }
        true
    }

    /// Now, by the servers' clock: a machine whose own is wrong lets no job expire.
    pub(crate) fn now_of_fleet(&self) -> u64 {
        now().saturating_add_signed(self.clock_offset.load(Ordering::Relaxed))
    }

    /// How many jobs are under way.
    pub(crate) fn busy(&self) -> usize {
        lock(&self.running).len()
    }
}

/// Nothing in here is left half by a task that panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    now.saturating_add_signed(fail::clock())
}
