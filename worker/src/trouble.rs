//! When a machine is to blame itself for what does not work, and what ends that. Pure.

/// Why a machine takes no more jobs on which not even the job works that must work. What follows
/// says more.
pub(crate) const NOTHING_WORKS: &str = "nothing works here, not even /bin/true";

/// Whether a machine that drains for this reason takes jobs again by itself.
pub(crate) fn ends_by_itself(reason: &str) -> bool {
    reason.starts_with(NOTHING_WORKS)
}

/// Whether a machine that drains for one reason drains for another from now on: what somebody wants
/// is not forgotten when the machine works again.
pub(crate) fn replaces(old: Option<&str>, new: &str) -> bool {
    old.is_none_or(|old| ends_by_itself(old) && !ends_by_itself(new))
}

/// Jobs that ended with an internal error, one after the other: a machine with many different ones
/// is to blame itself.
#[derive(Debug, Default)]
pub(crate) struct Streak {
    jobs: Vec<String>,
    /// When the last of them did not work.
    last: u64,
}

impl Streak {
    /// A job came to an end by itself.
    pub(crate) fn worked(&mut self) {
        self.jobs.clear();
    }

    /// A job begun then did not work; the number of different ones since the last that did.
    /// Those under way when another one failed may have failed for the same reason.
    pub(crate) fn failed(&mut self, id: &str, begun: u64, now: u64) -> usize {
        if begun >= self.last && !self.jobs.iter().any(|job| job == id) {
            self.jobs.push(id.to_owned());
            self.last = now;
        }
        self.jobs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_job_that_fails_often_does_not_stop_a_machine() {
        let mut streak = Streak::default();
        let ids = ["a", "a", "b"];
        let counts = ids.map(|id| streak.failed(id, 100, 100));
        assert_eq!(counts, [1, 1, 2]);
        streak.worked();
        assert_eq!(streak.failed("a", 100, 100), 1);
    }

    #[test]
    fn jobs_that_fail_at_the_same_time_are_one_failure() {
        let mut streak = Streak::default();
        let ids = ["a", "b", "c", "d"];
        let counts = ids.map(|id| streak.failed(id, 100, 200));
        assert_eq!(counts, [1; 4]);
        assert_eq!(streak.failed("e", 201, 300), 2);
    }

    #[test]
    fn only_what_the_machine_found_out_itself_ends_by_itself() {
        let own = format!("{NOTHING_WORKS}; the first job: no cgroup");
        assert!(ends_by_itself(&own) && !ends_by_itself("drained by root"));
        assert!(replaces(None, &own) && replaces(None, "disk"));
        assert!(replaces(Some(&own), "drained by root"));
        assert!(!replaces(Some("drained by root"), &own));
        assert!(!replaces(Some(&own), &own));
        assert!(!replaces(Some("disk"), "drained by root"));
    }
}
