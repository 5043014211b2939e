//! The worker, from its start to its end.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::batches::Batches;
use crate::cache::Cache;
use crate::connection::{Fleet, connect};
use crate::dispatch::dispatch;
use crate::failure::Failure;
use crate::metrics::{self, Metrics};
use crate::names::{CANCEL, MACHINES, jobs, machine_subject};
use crate::settings::Settings;
use crate::silence::break_silence;
use crate::spool::Spool;
use crate::station::{Drain, Station, now};
use crate::{control, courier, health, machine};

/// A dispatcher that is silent for so long is stuck.
const STUCK: Duration = Duration::from_secs(120);

/// How long a server may take to hear that this machine is gone.
const FAREWELL: Duration = Duration::from_secs(2);

/// Takes jobs until a signal says to stop.
///
/// # Errors
///
/// What is missing for it to begin.
pub(crate) async fn work(
    settings: Settings,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let station = tokio::select! {
        station = start(settings) => Arc::new(station?),
        _ = stop.changed() => return Ok(()),
    };
    let since = now();
    if let Some(place) = station.settings.metrics.listen {
        let listener = TcpListener::bind(place).await;
        let listener = listener.map_err(Failure::at(format!(
            "cannot listen at {place} (metrics.listen)"
        )))?;
        tokio::spawn(metrics::serve(Arc::clone(&station), listener));
    }
    tokio::spawn(break_silence(
        station.fleet.clone(),
        station.settings.nats.urls.clone(),
        machine_subject(&station.machine.id),
    ));
    tokio::spawn(control::take_orders(Arc::clone(&station)));
    tokio::spawn(control::hear_of_jobs(Arc::clone(&station)));
    tokio::spawn(control::learn_of_cancelled(Arc::clone(&station)));
    tokio::select! {
        sent = send_what_waits(&station) => sent?,
        _ = stop.changed() => return Ok(()),
    }
    control::tell_once(&station, since).await;
    let heartbeat = tokio::spawn(control::tell_of_itself(Arc::clone(&station), since));
    let (alive, is_alive) = watch::channel(Instant::now());
    let watchdog = tokio::spawn(watch_over(is_alive));
    log::info!(
        "machine {} of pool {} takes jobs, {} at a time",
        station.machine.id,
        station.machine.pool,
        station.slots
    );
    // Nobody may be listening.
    sd_notify::notify(&[sd_notify::NotifyState::Ready]).ok();
    let recovering = tokio::spawn(health::recover(Arc::clone(&station), stop.clone()));
    let work = tokio::spawn(dispatch(Arc::clone(&station), stop.clone(), alive));
    let told = tokio::spawn(tell_of_stop(Arc::clone(&station), stop));
    work.await.map_err(Failure::at("the dispatcher ended"))?;
    recovering.await.ok();
    told.abort();
    heartbeat.abort();
    watchdog.abort();
    station.batches.end();
    // Whoever reads the list sees in half a minute that the machine is gone, and so it is where no
    // server is there to hear it.
    let farewell = async {
        station.machines.delete(&station.machine.id).await.ok();
        station.fleet.client.flush().await.ok();
    };
    timeout(FAREWELL, farewell).await.ok();
    log::info!("stopped");
    Ok(())
}

/// Publishes what an earlier process could not.
async fn send_what_waits(station: &Station) -> Result<(), Failure> {
    for letter in station.spool.waiting()? {
        log::info!(
            "the result of job {} waits since an earlier start",
            letter.result.id
        );
        courier::send(&station.fleet, &letter).await;
        station.spool.remove(&letter.result.id);
    }
    Ok(())
}

/// Says that it is to stop, when it is.
async fn tell_of_stop(station: Arc<Station>, mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_ok() {
        log::info!("stopping; {} jobs are under way", station.busy());
        sd_notify::notify(&[sd_notify::NotifyState::Stopping]).ok();
    }
}

/// Tells when a signal says to stop.
///
/// # Errors
///
/// Signals cannot be watched.
pub(crate) fn until_signal() -> Result<watch::Receiver<bool>, Failure> {
    let what = "cannot watch for signals";
    let mut end = signal(SignalKind::terminate()).map_err(Failure::at(what))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::at(what))?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = end.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
        // For as long as anybody asks: a channel that is closed tells nothing.
        stop.closed().await;
    });
    Ok(stopped)
}

/// Everything that jobs need.
async fn start(settings: Settings) -> Result<Station, Failure> {
    let machine = machine::of_this(&settings)?;
    let spool = Spool::new(settings.machine.state_dir.join("spool"))?;
    let drain = Drain::new(settings.machine.state_dir.join("draining"));
    if let Some(reason) = drain.reason() {
        log::warn!("still draining (isolate-run-worker undrain ends it): {reason}");
    }
    let (client, jetstream) = connect(&settings.nats, &machine.id, true).await?;
    let fleet = Fleet::open(client, jetstream).await?;
    // Where the batch looks, too: root's is where isolate.toml says.
    let cache_dir = settings.files.cache_dir.clone();
    let cache = match nix::unistd::geteuid().is_root() {
        true => cache_dir.clone(),
        false => cache_dir.join("isolate-run"),
    };
    let labels = [
        ("version", machine.version.clone()),
        ("config_digest", machine.config_digest.clone()),
        ("pool", machine.pool.clone()),
    ];
    Ok(Station {
        slots: machine::slots(&settings.slots),
        batches: Batches::new(
            settings.machine.program.clone(),
            cache_dir,
            settings.jobs.max_time.0,
        ),
        cache: Cache::new(cache, settings.files.cache_max.0),
        metrics: Metrics::new(&labels),
        machines: fleet.bucket(MACHINES).await?,
        cancel: fleet.bucket(CANCEL).await?,
        jobs: fleet.stream(&jobs(&machine.pool)).await?,
        machine,
        fleet,
        spool,
        drain,
        settings,
        cancelled: Default::default(),
        running: Default::default(),
        streak: Default::default(),
        avoid: Default::default(),
        last_tries: Semaphore::new(1),
        wake: Notify::new(),
        clock_offset: AtomicI64::new(0),
    })
}

/// Tells systemd that all is well, for as long as it is.
async fn watch_over(alive: watch::Receiver<Instant>) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        if alive.borrow().elapsed() < STUCK {
            sd_notify::notify(&[sd_notify::NotifyState::Watchdog]).ok();
        }
        tokio::time::sleep(limit / 3).await;
    }
}
