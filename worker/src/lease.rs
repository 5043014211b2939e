//! The lease of a job: it is renewed for as long as this machine has the job.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::{Client, RequestErrorKind, Subject};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::station::Station;

/// The pauses before the end of a lease is told again, in milliseconds: servers that have lost the
/// one that decides choose another.
const PAUSES: [u64; 3] = [200, 400, 800];

/// A job that is ours.
pub(crate) struct Lease {
    client: Client,
    /// Where the server hears of it.
    keeper: Subject,
    heartbeat: JoinHandle<()>,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}

impl Lease {
    /// Renews it from now on.
    pub(crate) fn hold(station: Arc<Station>, keeper: Subject) -> Self {
        let client = station.fleet.client.clone();
        let (ours, to) = (client.clone(), keeper.clone());
        let pause = station.settings.jobs.lease.0 / 3;
        let heartbeat = tokio::spawn(async move {
            let mut wait = pause;
            loop {
                sleep(wait).await;
                wait = pause;
                // With an answer, as a hint: a server that is cut off may give one as well.
                let renewed = timeout(pause, say(&ours, &to, AckKind::Progress)).await;
                let silent = |_| Err("the server does not answer".into());
                if let Err(error) = renewed.unwrap_or_else(silent) {
                    wait = pause / 4;
                    station.metrics.heartbeat_failures.inc();
                    log::warn!("cannot renew the lease of a job: {error}");
                }
            }
        });
        Self {
            client,
            keeper,
            heartbeat,
        }
    }

    /// Ends it, and waits until the server knows.
    ///
    /// # Errors
    ///
    /// It is not known whether the server knows.
    pub(crate) async fn finish(&self) -> Result<(), String> {
        self.heartbeat.abort();
        for pause in PAUSES {
            match say(&self.client, &self.keeper, AckKind::Ack).await {
                Ok(()) => return Ok(()),
                Err(error) => log::debug!("the end of a lease was not heard: {error}"),
            }
            sleep(Duration::from_millis(pause)).await;
        }
        say(&self.client, &self.keeper, AckKind::Ack).await
    }

    /// Ends it otherwise.
    pub(crate) async fn end(&self, kind: AckKind) {
        self.heartbeat.abort();
        let keeper = self.keeper.clone();
        // If that is not heard, the lease ends by itself.
        self.client.publish(keeper, kind.into()).await.ok();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

/// Tells the server, and waits until it has heard that.
async fn say(client: &Client, keeper: &Subject, kind: AckKind) -> Result<(), String> {
    let heard = client.request(keeper.clone(), kind.into()).await;
    heard.map(drop).map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => {
            "no server has the queue that it is of; another machine may get the job".into()
        }
        _ => error.to_string(),
    })
}
