//! `dead`: jobs that no machine could carry out.

use async_nats::jetstream::stream::Stream;
use isolate_run_client::FleetJob;

use crate::connection::Fleet;
use crate::decide::Errors;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::tell::tell;
use crate::{cli, names, verbs};

/// Lists, shows or submits again.
///
/// # Errors
///
/// There is no such job, or the server does not answer.
pub(crate) async fn dead(settings: &Settings, asked: &cli::Dead) -> Result<(), Failure> {
    let fleet = verbs::open(settings).await?;
    match asked {
        cli::Dead::List => list(&fleet).await,
        cli::Dead::Show { id } => show(&fleet, id).await,
        cli::Dead::Retry { id } => retry(&fleet, id).await,
    }
}

/// All subjects of the stream below this one.
async fn subjects(stream: &Stream<()>, filter: &str) -> Result<Vec<String>, Failure> {
    use futures_util::TryStreamExt;
    let what = "cannot list the dead jobs";
    let found = stream
        .info_with_subjects(filter)
        .await
        .map_err(Failure::at(what))?;
    let found: Vec<(String, usize)> = found.try_collect().await.map_err(Failure::at(what))?;
    let mut names: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
    names.sort();
    Ok(names)
}

async fn list(fleet: &Fleet) -> Result<(), Failure> {
    for subject in subjects(&fleet.dead, "iso.dead.poison.>").await? {
        let mut parts = subject.rsplit('.');
        let (id, queue) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let errors = errors(fleet, queue, id).await?;
        let why = errors
            .machines
            .iter()
            .next()
            .map_or("its machine died each time", |(_, why)| why.as_str());
        tell(&format!("{id}  queue {queue}: {why}"));
    }
    Ok(())
}

async fn errors(fleet: &Fleet, queue: &str, id: &str) -> Result<Errors, Failure> {
    let subject = names::error_subject(queue, id);
    let found = fleet.dead.get_last_raw_message_by_subject(&subject).await;
    Ok(found
        .ok()
        .and_then(|message| serde_json::from_slice(&message.payload).ok())
        .unwrap_or_default())
}

/// The job of this id, in whichever queue it was.
async fn find(fleet: &Fleet, id: &str) -> Result<FleetJob, Failure> {
    if !names::is_id(id) {
        return Err(Failure::new(format!("'{id}' is no id of a job")));
    }
    let subject = names::poison_subject("*", id);
    let found = subjects(&fleet.dead, &subject).await?;
    let subject = found
        .first()
        .ok_or_else(|| Failure::new(format!("there is no dead job {id} (dead list)")))?;
    let message = fleet.dead.get_last_raw_message_by_subject(subject).await;
    let message = message.map_err(Failure::at(format!("cannot read the job {id}")))?;
    serde_json::from_slice(&message.payload).map_err(Failure::at(format!("{subject} is no job")))
}

async fn show(fleet: &Fleet, id: &str) -> Result<(), Failure> {
    let job = find(fleet, id).await?;
    for (machine, why) in errors(fleet, &job.queue, id).await?.machines {
        tell(&format!("{machine}: {why}"));
    }
    let text = serde_json::to_string_pretty(&job);
    tell(&text.map_err(Failure::at("cannot write the job"))?);
    Ok(())
}

async fn retry(fleet: &Fleet, id: &str) -> Result<(), Failure> {
    let mut job = find(fleet, id).await?;
    job.attempt += 1;
    // What was found out about it was of another try; without a result, it can have one.
    let (poison, error) = (
        names::poison_subject(&job.queue, id),
        names::error_subject(&job.queue, id),
    );
    let result = names::result_subject(&job.queue, id);
    let what = format!("cannot submit the job {id} again");
    fleet
        .results
        .purge()
        .filter(result)
        .await
        .map_err(Failure::at(&what))?;
    fleet
        .dead
        .purge()
        .filter(error)
        .await
        .map_err(Failure::at(&what))?;
    verbs::submit::publish(fleet, &job).await?;
    fleet
        .dead
        .purge()
        .filter(poison)
        .await
        .map_err(Failure::at(&what))?;
    tell(&format!("submitted {id} again, attempt {}", job.attempt));
    Ok(())
}
