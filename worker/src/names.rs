//! What streams, subjects, consumers and buckets are called, and what may be a part of such a name.
//! Pure.

use isolate_run_client::Priority;

/// The jobs that are to be done: a stream for each pool, called so and like the pool.
const JOBS: &str = "ISO_JOBS_";
/// The results, one for each job.
pub(crate) const RESULTS: &str = "ISO_RESULTS";
/// Jobs that no machine could carry out, and what went wrong with others.
pub(crate) const DEAD: &str = "ISO_DEAD";
/// Files by their digests: an object store for each queue, called so and like the queue.
const FILES: &str = "iso-files-";
/// The machines: a key for each.
pub(crate) const MACHINES: &str = "iso-machines";
/// Jobs that are to end: a key for each.
pub(crate) const CANCEL: &str = "iso-cancel";

/// The longest name of a pool, a queue or a machine.
const NAME: usize = 32;
/// The longest id of a job.
const ID: usize = 128;

/// Whether this can be the name of a pool, a queue or a machine. No underscore: those separate
/// names in that of a consumer.
pub(crate) fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=NAME).contains(&text.len()) && text.bytes().all(is_part)
}

/// Whether this can be the id of a job: one word of a subject, and a key of a bucket.
pub(crate) fn is_id(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=ID).contains(&text.len()) && text.bytes().all(is_part)
}

/// Whether this is a digest: 64 small hexadecimal digits.
pub(crate) fn is_digest(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 64 && text.bytes().all(is_digit)
}

/// The stream of the jobs of a pool.
pub(crate) fn jobs(pool: &str) -> String {
    format!("{JOBS}{pool}")
}

/// The pool whose jobs this stream has.
pub(crate) fn pool_of(stream: &str) -> Option<&str> {
    stream.strip_prefix(JOBS)
}

/// The bucket of the files of a queue.
pub(crate) fn files(queue: &str) -> String {
    format!("{FILES}{queue}")
}

/// Where it is said that a job is to end; as a key of the bucket, without what is before it.
pub(crate) fn cancel_subject(queue: &str, id: &str) -> String {
    format!("$KV.{CANCEL}.{}", cancel_key(queue, id))
}

/// Where a machine says that it is there.
pub(crate) fn machine_subject(id: &str) -> String {
    format!("$KV.{MACHINES}.{id}")
}

/// The key of a job that is to end.
pub(crate) fn cancel_key(queue: &str, id: &str) -> String {
    format!("{queue}.{id}")
}

/// Where a job is published.
pub(crate) fn job_subject(pool: &str, priority: Priority, queue: &str) -> String {
    format!("iso.job.{pool}.{priority}.{queue}")
}

/// The queue in the subject of a job.
pub(crate) fn queue_of(subject: &str) -> &str {
    subject.rsplit('.').next().unwrap_or_default()
}

/// The consumer of these jobs.
pub(crate) fn consumer(pool: &str, priority: Priority, queue: &str) -> String {
    format!("{pool}_{priority}_{queue}")
}

/// The same, by the subject of its jobs.
pub(crate) fn consumer_of(subject: &str) -> String {
    let parts = subject.strip_prefix("iso.job.").unwrap_or(subject);
    parts.replace('.', "_")
}

/// Pool, priority and queue of a consumer.
pub(crate) fn parts_of_consumer(name: &str) -> Option<(&str, Priority, &str)> {
    let mut parts = name.split('_');
    let (pool, priority, queue) = (parts.next()?, parts.next()?, parts.next()?);
    let priority = priority.parse().ok()?;
    parts.next().is_none().then_some((pool, priority, queue))
}

/// Where the one result of a job is published.
pub(crate) fn result_subject(queue: &str, id: &str) -> String {
    format!("iso.result.{queue}.{id}")
}

/// Where a job goes that no machine could carry out.
pub(crate) fn poison_subject(queue: &str, id: &str) -> String {
    format!("iso.dead.poison.{queue}.{id}")
}

/// Where it is kept on which machines a job did not work.
pub(crate) fn error_subject(queue: &str, id: &str) -> String {
    format!("iso.dead.error.{queue}.{id}")
}

/// Where workers of a pool hear that there are jobs.
pub(crate) fn wake_subject(pool: &str) -> String {
    format!("iso.wake.{pool}")
}

/// Where a machine takes orders.
pub(crate) fn control_subject(machine: &str) -> String {
    format!("iso.control.{machine}")
}

/// What makes the sending of a job the same one as before: the server drops the second. `time`
/// counts from 0 how often it was sent without an answer: then it is another one, for a server that
/// failed while it took a message may know its id and not have it. What is twice in a queue has one
/// result.
pub(crate) fn message_id(id: &str, attempt: u32, time: u32) -> String {
    match time {
        0 => format!("{id}#{attempt}"),
        _ => format!("{id}#{attempt}#{time}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_have_nothing_that_a_subject_or_a_path_means_something_by() {
        for bad in [
            "",
            "a.b",
            "a_b",
            "*",
            ">",
            "a b",
            "../x",
            "é",
            &"x".repeat(33),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
        for bad in ["", "a.b", "a/b", "*", ">", "a b", "..", &"x".repeat(129)] {
            assert!(!is_id(bad), "{bad}");
        }
        assert!(is_name("amd-2024") && is_id("17_3-a") && is_digest(&"0f".repeat(32)));
        assert!(!is_digest(&"0F".repeat(32)) && !is_digest("0f"));
    }

    #[test]
    fn a_consumer_tells_what_it_is_of() {
        let name = consumer("fast", Priority::Rejudge, "finals");
        assert_eq!(
            parts_of_consumer(&name),
            Some(("fast", Priority::Rejudge, "finals"))
        );
        assert_eq!(parts_of_consumer("fast_urgent_finals"), None);
        assert_eq!(
            queue_of(&job_subject("fast", Priority::Live, "finals")),
            "finals"
        );
    }
}
