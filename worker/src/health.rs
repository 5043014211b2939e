//! Whether anything works on this machine: it finds out by a job that works wherever anything does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::station::Station;
use crate::trouble::ends_by_itself;

/// How long the job that must work may take.
const PROBE: Duration = Duration::from_secs(60);
/// The pauses between its tries, in fifths of `jobs.retry_after`. A broker or a bus that was killed
/// is back within seconds.
const PAUSES: [u32; 4] = [1, 2, 4, 8];
/// How often in a row it has to work until a machine takes jobs again.
const IN_A_ROW: usize = 3;

/// Whether anything works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Works {
    /// It does: a job that did not has itself to blame.
    AtOnce,
    /// It did not for a moment, which is no trouble of the machine, and no job's.
    Later,
    Never,
}

/// Finds out.
pub(crate) async fn works(station: &Station) -> Works {
    if probe(station).await {
        return Works::AtOnce;
    }
    for pause in PAUSES {
        sleep(station.settings.jobs.retry_after.0 / 5 * pause).await;
        if probe(station).await {
            return Works::Later;
        }
    }
    Works::Never
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
        let works = tokio::select! {
            works = probe(&station) => works,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        worked = if works { worked + 1 } else { 0 };
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
