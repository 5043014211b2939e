//! When to look at a clock that no timer watches: the CPU time of the program.

use std::time::Duration;

/// Between two looks there is at least this much, however little of the budget is left.
const SHORTEST: Duration = Duration::from_micros(500);

/// A program that sleeps just below its limit is looked at less and less often, down to once in this time. When it
/// wakes up it goes beyond its limit by no more than that for each CPU.
const LAZIEST: Duration = Duration::from_millis(4);

/// A look takes the longer the more threads there are. Between two of them there is this many times as much, so that
/// no program makes the keeper busy,
const REST: u32 = 4;

/// but no more than this.
const LONGEST_REST: Duration = Duration::from_millis(40);

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Looks {
    used: Duration,
    /// The pause that followed.
    pause: Duration,
}

impl Looks {
    /// The time until the next look: not before `parallel` CPUs, all busy, can have used up what is left. The look
    /// that found out what was `used` took `cost` of the keeper's CPU time.
    pub(super) fn next(
        &mut self,
        used: Duration,
        limit: Duration,
        parallel: u32,
        cost: Duration,
    ) -> Duration {
        let earliest = limit.saturating_sub(used) / parallel.max(1);
        let sleeps = used == self.used;
        let idle = if sleeps {
            (self.pause * 2).min(LAZIEST)
        } else {
            SHORTEST
        };
        let rest = cost.saturating_mul(REST).min(LONGEST_REST);
        *self = Self {
            used,
            pause: idle.max(SHORTEST),
        };
        earliest.max(self.pause).max(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn the_next_look_is_at_the_earliest_moment_of_exhaustion() {
        let next =
            |used, parallel| Looks::default().next(ms(used), ms(1000), parallel, Duration::ZERO);
        assert_eq!(next(0, 1), ms(1000));
        assert_eq!(next(200, 4), ms(200));
        assert_eq!(next(1000, 4), SHORTEST);
        assert_eq!(next(2000, 0), SHORTEST);
    }

    #[test]
    fn a_program_that_sleeps_below_its_limit_is_looked_at_less_often() {
        let mut looks = Looks::default();
        let mut next = |used| looks.next(used, ms(1000), 1, Duration::ZERO);
        let almost = ms(1000) - Duration::from_micros(100);
        assert_eq!(next(almost), SHORTEST);
        assert_eq!(next(almost), SHORTEST * 2);
        assert_eq!(next(almost), SHORTEST * 4);
        assert_eq!(next(almost), LAZIEST);
        assert_eq!(next(almost), LAZIEST);
        assert_eq!(next(almost + Duration::from_micros(50)), SHORTEST);
    }

    #[test]
    fn a_look_that_takes_long_is_followed_by_a_rest() {
        let next = Looks::default().next(ms(1000), ms(1000), 1, ms(3));
        assert_eq!(next, ms(12));
        let next = Looks::default().next(ms(1000), ms(1000), 1, ms(3000));
        assert_eq!(next, LONGEST_REST);
    }
}
