//! `setup`: makes what a fleet needs on the servers, or says what it would make.

use async_nats::jetstream::stream::{Config, Info};
use async_nats::jetstream::{Context, stream::Stream};

use crate::connection::connect;
use crate::failure::Failure;
use crate::layout;
use crate::names;
use crate::settings::Settings;
use crate::tell::tell;

/// What has to be known of a cluster when it does not make a stream.
const ADVICE: &str = "the servers need room for streams.jobs_max and files_max of worker.toml, and with \
    streams.replicas = 3 three of them that know each other; after a start of all at once some versions need a minute, \
    or a restart of one";

/// Makes what is missing and changes what is different.
///
/// # Errors
///
/// What could not be made, and why.
pub(crate) async fn setup(settings: &Settings, dry: bool) -> Result<(), Failure> {
    let (_, jetstream) = connect(&settings.nats, "isolate-run-worker setup", false).await?;
    let changes = apply(settings, &jetstream, dry).await?;
    match (changes, dry) {
        (0, _) => tell("everything is as it should be"),
        (count, true) => tell(&format!("{count} changes would be made")),
        (count, false) => tell(&format!("{count} changes made")),
    }
    Ok(())
}

/// The same for a connection that is there; the number of changes.
///
/// # Errors
///
/// What could not be made, and why.
pub(crate) async fn apply(
    settings: &Settings,
    jetstream: &Context,
    dry: bool,
) -> Result<usize, Failure> {
    let mut changes = 0;
    let streams = layout::streams(settings, &settings.machine.pool);
    for want in streams.into_iter().chain(layout::buckets(settings)) {
        let name = want.name.clone();
        match find(jetstream, &name).await? {
            None => {
                changes += made(&format!("stream {name}"), dry);
                if !dry {
                    let made = jetstream.create_stream(want).await;
                    made.map_err(Failure::at(format!(
                        "cannot make the stream {name}; {ADVICE}"
                    )))?;
                }
            }
            Some(have) => {
                let changed = layout::changed(&have.config, &want);
                changes += mend(jetstream, &have.config, changed, dry).await?;
            }
        }
    }
    for queue in settings.queues() {
        changes += files(settings, jetstream, &queue, dry).await?;
    }
    let jobs = names::jobs(&settings.machine.pool);
    let jobs = jetstream.get_stream(jobs).await.ok();
    changes += consumers(settings, jobs.as_ref(), dry).await?;
    Ok(changes)
}

/// The object store of a queue.
async fn files(
    settings: &Settings,
    jetstream: &Context,
    queue: &str,
    dry: bool,
) -> Result<usize, Failure> {
    let want = layout::files(settings, queue);
    let name = want.bucket.clone();
    match find(jetstream, &format!("OBJ_{name}")).await? {
        None => {
            let changes = made(&format!("object store {name}"), dry);
            if !dry {
                let made = jetstream.create_object_store(want).await;
                made.map_err(Failure::at(format!(
                    "cannot make the object store {name}; {ADVICE}"
                )))?;
            }
            Ok(changes)
        }
        Some(have) => {
            let changed = layout::below(&have.config, want.max_bytes, settings.streams.replicas);
            mend(jetstream, &have.config, changed, dry).await
        }
    }
}

/// The consumers of this machine's pool.
async fn consumers(
    settings: &Settings,
    jobs: Option<&Stream>,
    dry: bool,
) -> Result<usize, Failure> {
    let mut changes = 0;
    for want in layout::consumers(settings, &settings.machine.pool) {
        let name = want.durable_name.clone().unwrap_or_default();
        let have = match jobs {
            Some(jobs) => jobs.consumer_info(&name).await.ok(),
            None => None,
        };
        let what = match have {
            None => format!("consumer {name}"),
            Some(have) if have.config.ack_wait != want.ack_wait => {
                let (old, new) = (have.config.ack_wait, want.ack_wait);
                format!("consumer {name}: ack_wait: {old:?} -> {new:?}")
            }
            Some(have) if have.config.max_deliver != want.max_deliver => {
                let (old, new) = (have.config.max_deliver, want.max_deliver);
                format!("consumer {name}: max_deliver: {old} -> {new}")
            }
            Some(_) => continue,
        };
        changes += made(&what, dry);
        if let (Some(jobs), false) = (jobs, dry) {
            let made = jobs.create_consumer(want).await;
            made.map_err(Failure::at(format!("cannot make the consumer {name}")))?;
        }
    }
    Ok(changes)
}

async fn find(jetstream: &Context, name: &str) -> Result<Option<Info>, Failure> {
    use async_nats::jetstream::context::GetStreamErrorKind;
    match jetstream.get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().clone())),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(said) if said.code() == 404 => Ok(None),
            _ => Err(Failure::at(format!(
                "cannot ask the server for the stream {name}"
            ))(error)),
        },
    }
}

async fn mend(
    jetstream: &Context,
    have: &Config,
    want: Config,
    dry: bool,
) -> Result<usize, Failure> {
    let differences = layout::differences(have, &want);
    if differences.is_empty() {
        return Ok(0);
    }
    for difference in &differences {
        made(&format!("{}: {difference}", have.name), dry);
    }
    if !dry {
        let name = want.name.clone();
        let updated = jetstream.update_stream(want).await;
        updated.map_err(Failure::at(format!(
            "cannot change the stream {name}; {ADVICE}"
        )))?;
    }
    Ok(differences.len())
}

/// Says what is made; it counts as one.
fn made(what: &str, dry: bool) -> usize {
    tell(&format!(
        "{}{what}",
        if dry { "would make " } else { "make " }
    ));
    1
}
