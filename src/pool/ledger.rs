//! What all users have under way, added up. Pure.

use std::collections::HashMap;

use crate::config::ceilings::{Ceilings, Shares};
use crate::failure::Failure;
use crate::plan::ceilings::Amounts;
use crate::quantity::Bytes;

/// The sums.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    users: HashMap<u32, Amounts>,
    total: Amounts,
}

impl Ledger {
    /// Adds what a user asks for, unless that is too much. Root has no ceilings.
    pub(super) fn reserve(
        &mut self,
        uid: u32,
        asked: Amounts,
        ceilings: &Ceilings,
        who: impl Fn() -> String,
    ) -> Result<(), Failure> {
        let theirs = self.users.get(&uid).copied().unwrap_or_default();
        if uid != 0 {
            let whose = || format!("{} has", who());
            check(theirs, asked, &ceilings.user, whose, "ceilings.")?;
            let whose = || "all users together have".to_owned();
            check(self.total, asked, &ceilings.total, whose, "ceilings.total_")?;
            self.total = plus(self.total, asked);
        }
        self.users.insert(uid, plus(theirs, asked));
        Ok(())
    }

    /// Takes off what was added.
    pub(super) fn release(&mut self, uid: u32, given: Amounts) {
        if uid != 0 {
            self.total = minus(self.total, given);
        }
        if let Some(theirs) = self.users.get_mut(&uid) {
            *theirs = minus(*theirs, given);
            if *theirs == Amounts::default() {
                self.users.remove(&uid);
            }
        }
    }
}

fn plus(one: Amounts, other: Amounts) -> Amounts {
    Amounts {
        runs: one.runs.saturating_add(other.runs),
        memory: one.memory.saturating_add(other.memory),
        processes: one.processes.saturating_add(other.processes),
    }
}

fn minus(one: Amounts, other: Amounts) -> Amounts {
    Amounts {
        runs: one.runs.saturating_sub(other.runs),
        memory: one.memory.saturating_sub(other.memory),
        processes: one.processes.saturating_sub(other.processes),
    }
}

fn check(
    now: Amounts,
    asked: Amounts,
    most: &Shares,
    whose: impl Fn() -> String,
    keys: &str,
) -> Result<(), Failure> {
    let after = plus(now, asked);
    let wait = "wait until some have ended";
    match (most.runs, most.memory, most.processes) {
        (Some(most), _, _) if after.runs > most => Err(Failure::new(format!(
            "{} {} runs under way, of at most {most} ({keys}runs): {wait}",
            whose(),
            now.runs
        ))),
        (_, Some(Bytes(most)), _) if after.memory > most => Err(Failure::new(format!(
            "{} runs with {} of memory under way, of at most {} ({keys}memory), and this one asks for {}: {wait}",
            whose(),
            Bytes(now.memory),
            Bytes(most),
            Bytes(asked.memory)
        ))),
        (_, _, Some(most)) if after.processes > most => Err(Failure::new(format!(
            "{} runs with {} processes under way, of at most {most} ({keys}processes), and this one asks for {}: \
             {wait}",
            whose(),
            now.processes,
            asked.processes
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(runs: u32, memory: u64, processes: u32) -> Amounts {
        Amounts {
            runs,
            memory,
            processes,
        }
    }

    fn ceilings() -> Ceilings {
        let shares = |runs, memory, processes| Shares {
            runs: Some(runs),
            memory: Some(Bytes(memory)),
            processes: Some(processes),
            ..Shares::default()
        };
        Ceilings {
            user: shares(2, 100, 10),
            total: shares(3, 150, 15),
            ..Ceilings::default()
        }
    }

    #[test]
    fn what_is_given_back_may_be_had_again() {
        let mut ledger = Ledger::default();
        let ceilings = ceilings();
        let reserve = |ledger: &mut Ledger, uid, amounts| {
            let done = ledger.reserve(uid, amounts, &ceilings, || format!("user {uid}"));
            done.map_err(|refusal| refusal.to_string())
        };
        reserve(&mut ledger, 7, asked(1, 60, 5)).unwrap();
        for (amounts, reason) in [
            (
                asked(2, 0, 0),
                "user 7 has 1 runs under way, of at most 2 (ceilings.runs)",
            ),
            (
                asked(1, 41, 0),
                "60B of memory under way, of at most 100B (ceilings.memory)",
            ),
            (
                asked(1, 0, 6),
                "5 processes under way, of at most 10 (ceilings.processes)",
            ),
        ] {
            let refusal = reserve(&mut ledger, 7, amounts).unwrap_err();
            assert!(refusal.contains(reason), "{refusal}");
        }
        reserve(&mut ledger, 7, asked(1, 40, 5)).unwrap();
        reserve(&mut ledger, 8, asked(1, 50, 5)).unwrap();
        let refusal = reserve(&mut ledger, 9, asked(1, 0, 0)).unwrap_err();
        assert!(
            refusal.starts_with("all users together have 3 runs"),
            "{refusal}"
        );
        // Root is nobody's neighbour.
        reserve(&mut ledger, 0, asked(100, 1000, 1000)).unwrap();
        ledger.release(0, asked(100, 1000, 1000));
        ledger.release(7, asked(1, 60, 5));
        reserve(&mut ledger, 9, asked(1, 60, 5)).unwrap();
        for (uid, amounts) in [
            (7, asked(1, 40, 5)),
            (8, asked(1, 50, 5)),
            (9, asked(1, 60, 5)),
        ] {
            ledger.release(uid, amounts);
        }
        assert!(ledger.users.is_empty());
        assert_eq!(ledger.total, Amounts::default());
    }
}
