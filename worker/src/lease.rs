//! The lease of a job: it is renewed for as long as this machine has the job.

use std::fmt;
use std::sync::Arc;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::message::Acker;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::station::Station;

/// A job that is ours.
pub(crate) struct Lease {
    acker: Arc<Acker>,
    heartbeat: JoinHandle<()>,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}

impl Lease {
    /// Renews it from now on.
    pub(crate) fn hold(station: Arc<Station>, acker: Acker) -> Self {
        let acker = Arc::new(acker);
        let ours = Arc::clone(&acker);
        let pause = station.settings.jobs.lease.0 / 3;
        let heartbeat = tokio::spawn(async move {
            let mut wait = pause;
            loop {
                tokio::time::sleep(wait).await;
                wait = pause;
                // With an answer, as a hint: a server that is cut off may give one as well.
                let renewed = timeout(pause, ours.double_ack_with(AckKind::Progress)).await;
                let silent = |_| Err("the server does not answer".into());
                if let Err(error) = renewed.unwrap_or_else(silent) {
                    wait = pause / 4;
                    station.metrics.heartbeat_failures.inc();
                    log::warn!("cannot renew the lease of a job: {error}");
                }
            }
        });
        Self { acker, heartbeat }
    }

    /// Ends it, and waits until the server knows.
    ///
    /// # Errors
    ///
    /// It is not known whether the server knows.
    pub(crate) async fn finish(&self) -> Result<(), async_nats::Error> {
        self.heartbeat.abort();
        self.acker.double_ack().await
    }

    /// Ends it otherwise.
    pub(crate) async fn end(&self, kind: AckKind) {
        self.heartbeat.abort();
        // If that is not heard, the lease ends by itself.
        self.acker.ack_with(kind).await.ok();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}
