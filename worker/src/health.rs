//! Whether anything works on this machine: it finds out by a job that works wherever anything does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::decide::ends_by_itself;
use crate::station::Station;

/// How long the job that must work may take.
const PROBE: Duration = Duration::from_secs(60);
/// The pauses between its tries, in fifths of `jobs.retry_after`. A broker or a bus that was killed
/// is back within seconds.
const PAUSES: [u32; 4] = [1, 2, 4, 8];
/// How often in a row it has to work until a machine takes jobs again.
const IN_A_ROW: usize = 3;

/// Whether anything works. What does not work for a moment only is no trouble of the machine.
pub(crate) async fn works(station: &Station) -> bool {
    for pause in PAUSES {
        if probe(station).await {
            return true;
        }
        sleep(station.settings.jobs.retry_after.0 / 5 * pause).await;
    }
    probe(station).await
}

/// Has a machine on which nothing worked take jobs again when something does, until it is to stop.
pub(crate) async fn recover(station: Arc<Station>, mut stop: watch::Receiver<bool>) {
    let mut drain = station.drain.watch();
    let is_ours = |reason: &Option<String>| reason.as_deref().is_some_and(ends_by_itself);
    let mut worked = 0;
    loop {
        let drained = async {
            drain.wait_for(is_ours).await.ok();
            sleep(2 * station.settings.jobs.retry_after.0).await;
        };
        tokio::select! {
            () = drained => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if !is_ours(&station.drain.reason()) {
            worked = 0;
            continue;
        }
        worked = if probe(&station).await { worked + 1 } else { 0 };
        if worked == IN_A_ROW {
            station.drain.end_if(ends_by_itself);
            worked = 0;
        }
    }
}

async fn probe(station: &Station) -> bool {
    // A batch that does not answer is killed.
    let worked = timeout(PROBE, station.batches.probe()).await;
    worked.unwrap_or_default()
}
