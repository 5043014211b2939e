//! The streams, buckets and consumers of a fleet as they should be, and how those that are there
//! differ. Pure.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::object_store;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use isolate_run_client::Priority;

use crate::names::{self, CANCEL, DEAD, MACHINES, RESULTS};
use crate::settings::Settings;

/// The longest job in bytes: what is larger belongs into files.
pub(crate) const JOB_MAX: usize = 256 << 10;
/// How long the server knows a message that it has.
const DUPLICATES: Duration = Duration::from_secs(600);
/// How often the server delivers a job at all. Workers give up long before that, with a result, but
/// for a job that they hand on since only a newer one understands it.
const BACKSTOP: i64 = 1000;
/// How long a machine that is silent is still one.
pub(crate) const MACHINE_TTL: Duration = Duration::from_secs(30);
/// How long the cancelling of a job is remembered.
const CANCEL_TTL: Duration = Duration::from_secs(86400);
/// How many jobs of one consumer may run at the same time in all of the fleet.
const MAX_RUNNING: i64 = 20_000;

/// The streams, with that of the jobs of a pool.
pub(crate) fn streams(settings: &Settings, pool: &str) -> Vec<Config> {
    let common = |name: &str, subjects: &[&str]| Config {
        name: name.into(),
        subjects: subjects
            .iter()
            .map(|subject| (*subject).to_owned())
            .collect(),
        max_messages: -1,
        max_bytes: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_age: settings.streams.keep.0,
        duplicate_window: DUPLICATES,
        storage: StorageType::File,
        num_replicas: settings.streams.replicas,
        allow_direct: true,
        ..Config::default()
    };
    // Of all pools: there is one stream of what died.
    let advisory = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.*.*";
    vec![
        Config {
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            max_bytes: i64::try_from(settings.streams.jobs_max.0).unwrap_or(i64::MAX),
            max_message_size: i32::try_from(JOB_MAX).unwrap_or(i32::MAX),
            ..common(&names::jobs(pool), &[&format!("iso.job.{pool}.>")])
        },
        common(RESULTS, &["iso.result.>"]),
        common(DEAD, &["iso.dead.>", advisory]),
    ]
}

/// The streams below the buckets with values. One message must not replace all others, as it could
/// in an ordinary bucket: whoever may write one key could make all be forgotten.
pub(crate) fn buckets(settings: &Settings) -> Vec<Config> {
    let common = |bucket: &str, max_age: Duration| Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        discard: DiscardPolicy::New,
        max_messages: -1,
        max_bytes: -1,
        max_messages_per_subject: 1,
        max_consumers: -1,
        max_age,
        duplicate_window: max_age.min(Duration::from_secs(120)),
        storage: StorageType::File,
        num_replicas: settings.streams.replicas,
        allow_direct: true,
        deny_delete: true,
        allow_rollup: false,
        ..Config::default()
    };
    vec![common(MACHINES, MACHINE_TTL), common(CANCEL, CANCEL_TTL)]
}

/// The object store of a queue.
pub(crate) fn files(settings: &Settings, queue: &str) -> object_store::Config {
    object_store::Config {
        bucket: names::files(queue),
        storage: StorageType::File,
        max_bytes: i64::try_from(settings.streams.files_max.0).unwrap_or(i64::MAX),
        num_replicas: settings.streams.replicas,
        ..object_store::Config::default()
    }
}

/// The consumers of a pool: one for each priority of each queue. On a work queue no two may want
/// the same message.
pub(crate) fn consumers(settings: &Settings, pool: &str) -> Vec<pull::Config> {
    let mut consumers = Vec::new();
    for queue in settings.queues() {
        for priority in Priority::ALL {
            let name = names::consumer(pool, priority, &queue);
            consumers.push(pull::Config {
                durable_name: Some(name.clone()),
                name: Some(name),
                filter_subject: names::job_subject(pool, priority, &queue),
                ack_policy: AckPolicy::Explicit,
                ack_wait: settings.jobs.lease.0,
                max_deliver: BACKSTOP,
                max_ack_pending: MAX_RUNNING,
                ..pull::Config::default()
            });
        }
    }
    consumers
}

/// What has to be changed in a stream for it to be as it should, a line each.
pub(crate) fn differences(have: &Config, want: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |key: &str, have: String, want: String| {
        if have != want {
            found.push(format!("{key}: {have} -> {want}"));
        }
    };
    compare("subjects", have.subjects.join(" "), want.subjects.join(" "));
    compare(
        "retention",
        format!("{:?}", have.retention),
        format!("{:?}", want.retention),
    );
    compare(
        "discard",
        format!("{:?}", have.discard),
        format!("{:?}", want.discard),
    );
    compare(
        "max_bytes",
        have.max_bytes.to_string(),
        want.max_bytes.to_string(),
    );
    let size = |config: &Config| match config.max_message_size {
        0 | -1 => "unlimited".to_owned(),
        size => size.to_string(),
    };
    compare("max_msg_size", size(have), size(want));
    compare(
        "max_age",
        format!("{:?}", have.max_age),
        format!("{:?}", want.max_age),
    );
    let window = |config: &Config| format!("{:?}", config.duplicate_window);
    compare("duplicate_window", window(have), window(want));
    compare(
        "replicas",
        have.num_replicas.to_string(),
        want.num_replicas.to_string(),
    );
    compare(
        "allow_rollup",
        have.allow_rollup.to_string(),
        want.allow_rollup.to_string(),
    );
    compare(
        "allow_direct",
        have.allow_direct.to_string(),
        want.allow_direct.to_string(),
    );
    found
}

/// A stream with what is wanted of it, and everything else as it is.
pub(crate) fn changed(have: &Config, want: &Config) -> Config {
    Config {
        subjects: want.subjects.clone(),
        retention: want.retention,
        discard: want.discard,
        max_bytes: want.max_bytes,
        max_message_size: want.max_message_size,
        max_age: want.max_age,
        duplicate_window: want.duplicate_window,
        num_replicas: want.num_replicas,
        allow_direct: want.allow_direct,
        allow_rollup: want.allow_rollup,
        ..have.clone()
    }
}

/// The stream below an object store, with what can be wanted of it.
pub(crate) fn below(have: &Config, max_bytes: i64, replicas: usize) -> Config {
    Config {
        max_bytes,
        num_replicas: replicas,
        ..have.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_as_it_should_be_has_no_difference_and_another_one_is_mended() {
        let settings = Settings::default();
        for want in streams(&settings, "p") {
            assert_eq!(differences(&want, &want), Vec::<String>::new());
            let mut have = want.clone();
            (have.num_replicas, have.max_age) = (1, Duration::from_secs(1));
            have.description = Some("ours".into());
            assert_eq!(differences(&have, &want).len(), 2);
            let mended = changed(&have, &want);
            assert_eq!(differences(&mended, &want), Vec::<String>::new());
            assert_eq!(mended.description.as_deref(), Some("ours"));
        }
    }

    #[test]
    fn no_two_consumers_want_the_same_job() {
        let mut subjects: Vec<String> = consumers(&Settings::default(), "p")
            .into_iter()
            .map(|consumer| consumer.filter_subject)
            .collect();
        subjects.sort();
        assert_eq!(
            subjects,
            [
                "iso.job.p.bulk.default",
                "iso.job.p.live.default",
                "iso.job.p.rejudge.default"
            ]
        );
    }
}
