//! Whose turn it is: strictly by priority, and among the queues of one priority by their shares.
//! Deficit round robin, where each job costs one. Pure; time is what the caller says it is.

use isolate_run_client::Priority;

/// Consumers of one priority.
#[derive(Debug, Default)]
struct Round {
    queues: Vec<Queue>,
    /// Whose turn it is.
    turn: usize,
}

#[derive(Debug)]
struct Queue {
    name: String,
    weight: u32,
    /// How many jobs it may still have in this turn.
    credit: u32,
    /// It had no job: until then it is not asked again.
    asleep_until: u64,
}

/// The consumers of a pool.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    rounds: [Round; 3],
}

/// A consumer: its priority and queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) priority: Priority,
    pub(crate) queue: String,
}

impl Shares {
    /// Sets which consumers there are. Those that were there keep their credit.
    pub(crate) fn set(&mut self, consumers: &[Turn], weight: impl Fn(&str) -> u32) {
        for (priority, round) in Priority::ALL.iter().zip(&mut self.rounds) {
            let mut names: Vec<&str> = Vec::new();
            for turn in consumers.iter().filter(|turn| turn.priority == *priority) {
                names.push(&turn.queue);
            }
            names.sort_unstable();
            let mut queues = Vec::new();
            for name in names {
                let old = round.queues.iter().find(|queue| queue.name == name);
                queues.push(Queue {
                    name: name.to_owned(),
                    weight: weight(name).max(1),
                    credit: old.map_or(0, |queue| queue.credit),
                    asleep_until: old.map_or(0, |queue| queue.asleep_until),
                });
            }
            let turn = round.queues.get(round.turn).map(|queue| queue.name.clone());
            let same = |queue: &Queue| Some(&queue.name) == turn.as_ref();
            round.turn = queues.iter().position(same).unwrap_or(0);
            round.queues = queues;
        }
    }

    /// Who is asked now, in this order, for one job.
    pub(crate) fn order(&self, now: u64) -> Vec<Turn> {
        let mut order = Vec::new();
        for (priority, round) in Priority::ALL.iter().zip(&self.rounds) {
            let count = round.queues.len();
            let indices = (0..count).map(|offset| (round.turn + offset) % count.max(1));
            for queue in indices.filter_map(|index| round.queues.get(index)) {
                if queue.asleep_until <= now {
                    order.push(Turn {
                        priority: *priority,
                        queue: queue.name.clone(),
                    });
                }
            }
        }
        order
    }

    /// When somebody is to be asked again, if nobody is now.
    pub(crate) fn next_waking(&self) -> Option<u64> {
        let queues = self.rounds.iter().flat_map(|round| &round.queues);
        queues.map(|queue| queue.asleep_until).min()
    }

    /// It had a job.
    pub(crate) fn had(&mut self, turn: &Turn) {
        let Some(round) = self.round(turn.priority) else {
            return;
        };
        let Some(index) = round
            .queues
            .iter()
            .position(|queue| queue.name == turn.queue)
        else {
            return;
        };
        // Those before it had none, and lose what was left of their turn.
        if index != round.turn {
            if let Some(queue) = round.queues.get_mut(round.turn) {
                queue.credit = 0;
            }
            round.turn = index;
        }
        let count = round.queues.len();
        let Some(queue) = round.queues.get_mut(index) else {
            return;
        };
        if queue.credit == 0 {
            queue.credit = queue.weight;
        }
        queue.credit -= 1;
        if queue.credit == 0 {
            round.turn = (index + 1) % count;
        }
    }

    /// It had none, or could not be asked: it is left alone until then.
    pub(crate) fn had_none(&mut self, turn: &Turn, until: u64) {
        let queue = self.round(turn.priority).and_then(|round| {
            round
                .queues
                .iter_mut()
                .find(|queue| queue.name == turn.queue)
        });
        if let Some(queue) = queue {
            queue.credit = 0;
            queue.asleep_until = until;
        }
    }

    /// There are new jobs: everybody is asked again, but for those that are left alone for longer
    /// than `until` for another reason.
    pub(crate) fn wake(&mut self, until: u64) {
        for queue in self.rounds.iter_mut().flat_map(|round| &mut round.queues) {
            if queue.asleep_until <= until {
                queue.asleep_until = 0;
            }
        }
    }

    fn round(&mut self, priority: Priority) -> Option<&mut Round> {
        self.rounds.get_mut(priority as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn turn(priority: Priority, queue: &str) -> Turn {
        Turn {
            priority,
            queue: queue.into(),
        }
    }

    /// Who gets the next jobs, from queues with so many.
    fn served(
        shares: &mut Shares,
        waiting: &mut HashMap<String, usize>,
        jobs: usize,
    ) -> Vec<String> {
        let mut served = Vec::new();
        while served.len() < jobs {
            let found = shares.order(0).into_iter().find(|turn| {
                waiting
                    .get(&format!("{}.{}", turn.priority, turn.queue))
                    .is_some_and(|left| *left > 0)
            });
            let Some(turn) = found else { break };
            *waiting
                .get_mut(&format!("{}.{}", turn.priority, turn.queue))
                .unwrap() -= 1;
            shares.had(&turn);
            served.push(turn.queue);
        }
        served
    }

    fn live(weights: &[(&str, u32)]) -> Shares {
        let mut shares = Shares::default();
        let turns: Vec<Turn> = weights
            .iter()
            .map(|(name, _)| turn(Priority::Live, name))
            .collect();
        let weights: HashMap<&str, u32> = weights.iter().copied().collect();
        shares.set(&turns, |name| weights[name]);
        shares
    }

    #[test]
    fn ten_jobs_beside_ten_thousand_are_done_after_twenty() {
        let mut shares = live(&[("big", 1), ("small", 1)]);
        let mut waiting = HashMap::from([
            ("live.big".to_owned(), 10_000),
            ("live.small".to_owned(), 10),
        ]);
        let order = served(&mut shares, &mut waiting, 21);
        assert_eq!(
            order.iter().filter(|name| *name == "small").count(),
            10,
            "{order:?}"
        );
    }

    #[test]
    fn shares_are_those_of_the_weights() {
        let mut shares = live(&[("a", 3), ("b", 1)]);
        let mut waiting = HashMap::from([("live.a".to_owned(), 100), ("live.b".to_owned(), 100)]);
        let order = served(&mut shares, &mut waiting, 40);
        assert_eq!(
            order.iter().filter(|name| *name == "a").count(),
            30,
            "{order:?}"
        );
    }

    #[test]
    fn nobody_saves_a_turn_for_later() {
        let mut shares = live(&[("a", 5), ("b", 5)]);
        let mut waiting = HashMap::from([("live.b".to_owned(), 100)]);
        served(&mut shares, &mut waiting, 50);
        waiting.insert("live.a".into(), 100);
        let order = served(&mut shares, &mut waiting, 20);
        assert_eq!(
            order.iter().filter(|name| *name == "a").count(),
            10,
            "{order:?}"
        );
    }

    #[test]
    fn a_lower_priority_waits_for_all_of_a_higher_one() {
        let mut shares = Shares::default();
        shares.set(
            &[turn(Priority::Bulk, "a"), turn(Priority::Live, "b")],
            |_| 1,
        );
        let mut waiting = HashMap::from([("bulk.a".to_owned(), 5), ("live.b".to_owned(), 5)]);
        assert_eq!(served(&mut shares, &mut waiting, 6).join(""), "bbbbba");
    }

    #[test]
    fn an_empty_queue_is_not_asked_until_it_is_woken() {
        let mut shares = live(&[("a", 1), ("b", 1)]);
        shares.had_none(&turn(Priority::Live, "a"), 100);
        assert_eq!(shares.order(50), [turn(Priority::Live, "b")]);
        assert_eq!(shares.order(100).len(), 2);
        shares.had_none(&turn(Priority::Live, "b"), 5000);
        shares.wake(1000);
        assert_eq!(shares.order(50), [turn(Priority::Live, "a")]);
        assert_eq!(shares.next_waking(), Some(0));
    }
}
