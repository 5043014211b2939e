//! Who is to blame among programs that talk to each other. Pure.

use serde_json::Value;

use super::Ended;
use crate::batch::job::{Group, Job};
use crate::batch::result::Together;

/// Ends that are closer than this, in microseconds, may be told in another order than they happened
/// in: each is noticed by another process.
const TIE: u64 = 5000;

/// What counts of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    name: String,
    /// When it ended, in microseconds since all of them were asked for.
    ended: u64,
    /// It failed.
    failed: bool,
    /// It was told that nobody reads what it writes: another one had ended before.
    broken_pipe: bool,
    /// It has only a code of its own choice, perhaps about the end of another one.
    exit_code: bool,
    /// It was ended at its wall time limit, or would have been.
    wall_time: bool,
    /// It spent less than half of its time computing.
    idle: bool,
}

/// What became of the runs of a group.
pub(super) fn together(job: &Job, group: &Group, ended: &[Ended]) -> Together {
    let runs = group.steps().zip(ended);
    let seen = runs.map(|(at, ended)| Seen::of(job.steps[at].name_or(at), ended.report.as_ref()));
    judge(&seen.collect::<Vec<_>>())
}

impl Seen {
    fn of(name: String, report: Option<&Value>) -> Self {
        let null = Value::Null;
        let report = report.unwrap_or(&null);
        let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64);
        let verdict = report["verdict"].as_str().unwrap_or_default();
        let wall = number("/figures/wall_time_us").unwrap_or_default();
        let cpu = number("/figures/cpu_time_us").unwrap_or_default();
        let shell_code = 128 + libc::SIGPIPE as u64;
        let ended = number("/stages/ended_us").unwrap_or_default();
        // Who is killed at the limit has failed there. Partners may end before that is seen.
        let limit = number("/stages/begun_us").zip(number("/limits/wall_time_us"));
        let limit = limit.filter(|_| verdict == "wall_time_limit");
        let at_limit = limit.map_or(ended, |(begun, limit)| begun.saturating_add(limit));
        Self {
            name,
            // A run that never began was there first.
            ended: ended.min(at_limit),
            failed: verdict != "ok",
            broken_pipe: number("/signal") == Some(libc::SIGPIPE as u64)
                || number("/exit_code") == Some(shell_code),
            exit_code: verdict == "exit_code",
            wall_time: verdict == "wall_time_limit",
            idle: cpu.saturating_mul(2) < wall,
        }
    }
}

fn judge(all: &[Seen]) -> Together {
    let mut failed: Vec<&Seen> = all.iter().filter(|one| one.failed).collect();
    failed.sort_by_key(|one| one.ended);
    let own = failed.iter().copied().find(|one| !one.broken_pipe);
    // An exit code may be about what happened to another one at the same moment.
    let cause = own.map(|first| {
        let at_once = |one: &&&Seen| one.ended.abs_diff(first.ended) <= TIE;
        let surer = failed.iter().filter(at_once);
        let surer = surer
            .copied()
            .find(|one| !one.exit_code && !one.broken_pipe);
        if first.exit_code {
            surer.unwrap_or(first)
        } else {
            first
        }
    });
    // Who had ended before was not waited for in vain by its own fault.
    let deadlock = cause.is_some_and(|first| {
        let partners = || all.iter().filter(|one| one.name != first.name);
        first.wall_time
            && first.idle
            && partners().count() > 0
            && partners().all(|one| one.idle && one.ended.saturating_add(TIE) >= first.ended)
    });
    let waited = all.iter().filter(|one| deadlock && one.idle);
    let name = |one: &Seen| one.name.clone();
    Together {
        steps: all.iter().map(name).collect(),
        cause: cause.map(name),
        deadlock,
        waited: waited.map(name).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(name: &str, verdict: &str, ended: u64, more: Value) -> Seen {
        let mut report = json!({
            "verdict": verdict, "stages": {"ended_us": ended},
            "figures": {"cpu_time_us": 1000, "wall_time_us": ended},
        });
        let object = report.as_object_mut().unwrap();
        object.extend(more.as_object().unwrap().clone());
        Seen::of(name.to_owned(), Some(&report))
    }

    fn cause(all: &[Seen]) -> Option<String> {
        judge(all).cause
    }

    #[test]
    fn whoever_fails_first_is_the_cause() {
        let signal = |number: i32| json!({"signal": number});
        let ok = || run("m", "ok", 20_000, json!({}));
        assert_eq!(cause(&[ok(), run("a", "ok", 10_000, json!({}))]), None);
        let died = run("a", "signal", 10_000, signal(11));
        assert_eq!(cause(&[ok(), died.clone()]).as_deref(), Some("a"));
        let later = run("m", "exit_code", 30_000, json!({"exit_code": 1}));
        assert_eq!(cause(&[later, died.clone()]).as_deref(), Some("a"));
        // Noticed in the other order.
        let at_once = run("m", "exit_code", 9_000, json!({"exit_code": 1}));
        assert_eq!(cause(&[at_once, died]).as_deref(), Some("a"));
    }

    #[test]
    fn who_dies_of_a_broken_pipe_is_not_to_blame() {
        let pipe = run("a", "signal", 9_000, json!({"signal": libc::SIGPIPE}));
        let wrong = run("m", "exit_code", 10_000, json!({"exit_code": 1}));
        assert_eq!(cause(&[wrong, pipe.clone()]).as_deref(), Some("m"));
        // Its partner had all that it needed.
        assert_eq!(cause(&[run("m", "ok", 5_000, json!({})), pipe]), None);
        let shell = run("a", "exit_code", 9_000, json!({"exit_code": 141}));
        assert_eq!(cause(&[run("m", "ok", 5_000, json!({})), shell]), None);
    }

    #[test]
    fn a_deadlock_is_when_both_wait_until_the_time_is_over() {
        let waits = |name: &str, ended| run(name, "wall_time_limit", ended, json!({}));
        let found = judge(&[waits("a", 1_000_000), waits("m", 1_001_000)]);
        assert!(found.deadlock);
        assert_eq!(found.waited, ["a", "m"]);
        // The end of one is told to the other, which then says what it thinks of that.
        let told = run("m", "exit_code", 1_002_000, json!({"exit_code": 3}));
        assert!(judge(&[waits("a", 1_000_000), told]).deadlock);
        // It may end before anybody sees that the first is dead.
        let limit = json!({"stages": {"begun_us": 140_000, "ended_us": 1_155_000}, "limits": {"wall_time_us": 1_000_000}});
        let killed = run("a", "wall_time_limit", 1_000_000, limit);
        let told = run("m", "exit_code", 1_142_000, json!({"exit_code": 1}));
        assert!(judge(&[killed, told]).deadlock);
        // One that has left is not waiting.
        let left = run("m", "ok", 1_000, json!({}));
        let found = judge(&[waits("a", 1_000_000), left]);
        assert!(!found.deadlock);
        assert_eq!(found.cause.as_deref(), Some("a"));
    }
}
