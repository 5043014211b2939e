//! Decides when to look at a clock that no timer watches: the CPU time of the program.

use std::time::Duration;

/// The shortest pause between two looks, however little of the budget is left.
const SHORTEST: Duration = Duration::from_micros(500);

/// The longest pause for a program that sleeps just below its limit. When it wakes up, it exceeds
/// the limit by no more than this on each CPU.
const LAZIEST: Duration = Duration::from_millis(4);

/// How many times as long as a look the pause after it is. Looks take longer with more threads, and
/// no program may keep the keeper busy with them.
const REST: u32 = 4;

/// The longest pause that an expensive look can cause.
const LONGEST_REST: Duration = Duration::from_millis(40);

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Looks {
    used: Duration,
    /// The pause that followed.
    pause: Duration,
}

impl Looks {
    /// The time until the next look: the earliest moment at which `parallel` busy CPUs can have
    /// used up the rest. The look that saw `used` cost the keeper `cost` of CPU time.
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
