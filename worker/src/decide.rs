//! What is done with a job when it comes, and when it was carried out. Pure: whoever acts is in
//! `carry` and `conclude`.

use std::collections::BTreeMap;

use isolate_run_client::{Answer, BatchResult, FleetOutcome, Outcome};
use serde::{Deserialize, Serialize};

/// What is known of a job that has no result yet. Those of other versions write and read it, too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Errors {
    /// On which machines it ended with an internal error, and why it did the last time.
    pub(crate) machines: BTreeMap<String, String>,
    /// How often a machine that is too old for it had it: these are no tries.
    pub(crate) handed_on: u64,
    /// How often it was given back for what was no fault of its own: these are no tries, either.
    pub(crate) blameless: u64,
    /// Its last try has begun, without others that may have ended a process.
    pub(crate) had_last_try: bool,
}

/// A job as it comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// Which delivery this is, from 1.
    pub(crate) delivery: u64,
    /// Now, and when nobody wants it any more; in milliseconds since 1970.
    pub(crate) now: u64,
    pub(crate) not_after: Option<u64>,
    /// Somebody wants it to end.
    pub(crate) is_cancelled: bool,
    /// What went wrong before.
    pub(crate) errors: &'a Errors,
    /// How often a job is begun.
    pub(crate) max_deliveries: u64,
}

/// What is done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Before {
    /// It is carried out.
    Run,
    /// It has this result, without a run.
    Result(FleetOutcome, String),
}

/// What is done with what came of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum After {
    /// It has this result.
    Result(FleetOutcome, Option<String>, Option<Box<BatchResult>>),
    /// Nothing is known about it: another machine has to try.
    Retry(String),
}

/// What is done with a job in a form that is newer than this worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TooNew {
    /// Those that know the form have it first: this machine leaves the queue alone for a while.
    Leave,
    /// Nobody seems to know the form; one may be about to start anew.
    Wait,
    /// Nobody does.
    Refuse(String),
}

/// So often such a job is handed on where nobody seems to know its form.
const WAITS: u64 = 3;

/// So often a job is given back without a try: a fleet in which nothing works for longer says so.
const BLAMELESS: u64 = 100;

/// On so many machines a job does not work before it is the job that is to blame.
const MACHINES: usize = 2;

/// Decides about a job that has just come, that is valid and has no result.
pub(crate) fn before(arrival: Arrival<'_>) -> Before {
    if arrival.is_cancelled {
        let reason = "it was cancelled before it began";
        return Before::Result(FleetOutcome::Cancelled, reason.into());
    }
    if arrival.not_after.is_some_and(|end| end < arrival.now) {
        let reason = "it came to a machine after its not_after";
        return Before::Result(FleetOutcome::Expired, reason.into());
    }
    let errors = &arrival.errors.machines;
    let said: Vec<String> = errors
        .iter()
        .map(|(machine, why)| format!("{machine}: {why}"))
        .collect();
    if errors.len() >= MACHINES {
        let reason = format!(
            "it ended with an internal error on {} machines: {}",
            errors.len(),
            said.join("; ")
        );
        return Before::Result(FleetOutcome::Poison, reason);
    }
    let tries = arrival.tries();
    // It may have been lost with another one that ended the process, and not even have begun.
    let had_last_try = arrival.errors.had_last_try || arrival.max_deliveries == 1;
    if tries > arrival.max_deliveries && had_last_try {
        let mut reason = format!("it was begun {} times and never ended", tries - 1);
        if !said.is_empty() {
            reason = format!("{reason} but with an internal error; {}", said.join("; "));
        }
        return Before::Result(FleetOutcome::Poison, reason);
    }
    Before::Run
}

impl Arrival<'_> {
    /// Which try this is, from 1.
    fn tries(&self) -> u64 {
        let Errors {
            handed_on,
            blameless,
            ..
        } = *self.errors;
        let no_tries = handed_on.saturating_add(blameless.min(BLAMELESS));
        self.delivery.saturating_sub(no_tries).max(1)
    }

    /// Whether it has no try after this one. It may be what ended the processes that had it, or
    /// have been beside one that did: no two such ones are begun at the same time, so that it
    /// shows.
    pub(crate) fn is_last_try(&self) -> bool {
        self.max_deliveries > 1 && self.tries() >= self.max_deliveries
    }
}

/// Decides about a job in this form, which is newer than this worker. `knows` is a machine of the
/// pool that knows it, and `is_last` says that the queue gives the job to nobody after this.
pub(crate) fn too_new(errors: &Errors, form: u64, knows: Option<&str>, is_last: bool) -> TooNew {
    let times = errors.handed_on + 1;
    match knows {
        Some(machine) if is_last => TooNew::Refuse(format!(
            "the job has format {form}, and came {times} times to machines that do not know it; '{machine}' does: upgrade the others"
        )),
        Some(_) => TooNew::Leave,
        None if times < WAITS && !is_last => TooNew::Wait,
        None => TooNew::Refuse(format!(
            "the job has format {form}, and no machine of its pool knows it: upgrade them"
        )),
    }
}

/// Decides about what the batch answered. It also tells of a job as cancelled when it was ended by
/// a signal, or by whoever stops a service: that is no verdict unless it was wanted.
pub(crate) fn after(answer: Answer, cancelled_for: Option<&str>) -> After {
    let result = match answer {
        Answer::Result(result) => result,
        Answer::Lost(why) => return After::Retry(why),
    };
    let reason = result.reason.clone();
    match result.outcome {
        Outcome::Done => After::Result(FleetOutcome::Done, None, Some(result)),
        Outcome::Refused => After::Result(FleetOutcome::Refused, reason, Some(result)),
        Outcome::Internal => {
            After::Retry(reason.unwrap_or_else(|| "the sandbox did not work".into()))
        }
        Outcome::Cancelled => match cancelled_for {
            Some(why) => After::Result(FleetOutcome::Cancelled, Some(why.into()), Some(result)),
            None => After::Retry("the batch was ended from outside".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(errors: &Errors) -> Arrival<'_> {
        Arrival {
            delivery: 1,
            now: 1000,
            not_after: None,
            is_cancelled: false,
            errors,
            max_deliveries: 3,
        }
    }

    fn errors(machines: &[&str]) -> Errors {
        let pairs = machines
            .iter()
            .map(|name| ((*name).to_owned(), "no cgroup".to_owned()));
        Errors {
            machines: pairs.collect(),
            ..Errors::default()
        }
    }

    fn outcome(arrival: Arrival<'_>) -> Option<FleetOutcome> {
        match before(arrival) {
            Before::Run => None,
            Before::Result(outcome, _) => Some(outcome),
        }
    }

    #[test]
    fn a_job_is_begun_three_times_and_no_more() {
        let none = Errors::default();
        let all = Errors {
            had_last_try: true,
            ..Errors::default()
        };
        let poison = Some(FleetOutcome::Poison);
        for (delivery, errors, is_last, expected) in [
            (1, &none, false, None),
            (2, &none, false, None),
            (3, &none, true, None),
            (4, &none, true, None),
            (4, &all, true, poison),
        ] {
            let arrival = Arrival {
                delivery,
                ..arrival(errors)
            };
            let found = (arrival.is_last_try(), outcome(arrival));
            assert_eq!(found, (is_last, expected), "delivery {delivery}");
        }
        let once = Arrival {
            delivery: 2,
            max_deliveries: 1,
            ..arrival(&none)
        };
        assert_eq!((once.is_last_try(), outcome(once)), (false, poison));
    }

    #[test]
    fn what_machines_that_are_too_old_hand_on_is_no_try() {
        let errors = Errors {
            handed_on: 7,
            had_last_try: true,
            ..Errors::default()
        };
        for (delivery, expected) in [(8, None), (10, None), (11, Some(FleetOutcome::Poison))] {
            let arrival = Arrival {
                delivery,
                ..arrival(&errors)
            };
            assert_eq!(outcome(arrival), expected, "delivery {delivery}");
        }
    }

    #[test]
    fn what_was_given_back_for_no_fault_of_its_own_is_no_try_so_and_so_often() {
        let poison = Some(FleetOutcome::Poison);
        for (blameless, delivery, expected) in [
            (3, 6, None),
            (3, 7, poison),
            (BLAMELESS, BLAMELESS + 3, None),
            (500, BLAMELESS + 4, poison),
        ] {
            let errors = Errors {
                blameless,
                had_last_try: true,
                ..Errors::default()
            };
            let arrival = Arrival {
                delivery,
                ..arrival(&errors)
            };
            assert_eq!(outcome(arrival), expected, "{blameless} {delivery}");
        }
    }

    #[test]
    fn a_job_that_is_too_new_waits_for_whoever_knows_it_and_is_refused_where_nobody_does() {
        let after = |handed_on| Errors {
            handed_on,
            ..Errors::default()
        };
        assert_eq!(too_new(&after(0), 2, Some("n"), false), TooNew::Leave);
        assert_eq!(too_new(&after(500), 2, Some("n"), false), TooNew::Leave);
        assert_eq!(too_new(&after(1), 2, None, false), TooNew::Wait);
        for (errors, knows, is_last, part) in [
            (after(2), None, false, "no machine of its pool knows it"),
            (after(0), None, true, "no machine"),
            (after(998), Some("n"), true, "999 times"),
        ] {
            let TooNew::Refuse(reason) = too_new(&errors, 2, knows, is_last) else {
                panic!("{part}")
            };
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn internal_errors_on_one_machine_are_the_machine_and_on_two_the_job() {
        assert_eq!(outcome(arrival(&errors(&["a"]))), None);
        let both = errors(&["a", "b"]);
        assert_eq!(outcome(arrival(&both)), Some(FleetOutcome::Poison));
        let Before::Result(_, reason) = before(arrival(&both)) else {
            panic!()
        };
        assert!(reason.contains("a: no cgroup; b: no cgroup"), "{reason}");
    }

    #[test]
    fn too_late_and_cancelled_jobs_do_not_begin() {
        let none = Errors::default();
        for (not_after, expected) in [
            (999, Some(FleetOutcome::Expired)),
            (1000, None),
            (2000, None),
        ] {
            let arrival = Arrival {
                not_after: Some(not_after),
                ..arrival(&none)
            };
            assert_eq!(outcome(arrival), expected, "{not_after}");
        }
        let arrival = Arrival {
            is_cancelled: true,
            delivery: 9,
            ..arrival(&none)
        };
        assert_eq!(outcome(arrival), Some(FleetOutcome::Cancelled));
    }

    fn answer(outcome: &str) -> Answer {
        let text = format!(r#"{{"format":1,"id":"a","outcome":"{outcome}","reason":"why"}}"#);
        Answer::Result(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn only_what_the_batch_knows_is_a_result() {
        let is = |after: &After, wanted| matches!(after, After::Result(outcome, ..) if *outcome == wanted);
        assert!(is(&after(answer("done"), None), FleetOutcome::Done));
        assert!(is(&after(answer("refused"), None), FleetOutcome::Refused));
        assert_eq!(after(answer("internal"), None), After::Retry("why".into()));
        assert_eq!(
            after(answer("internal"), Some("asked")),
            After::Retry("why".into())
        );
        assert_eq!(
            after(Answer::Lost("gone".into()), Some("asked")),
            After::Retry("gone".into())
        );
        assert!(matches!(after(answer("cancelled"), None), After::Retry(_)));
        assert!(is(
            &after(answer("cancelled"), Some("asked")),
            FleetOutcome::Cancelled
        ));
    }
}
