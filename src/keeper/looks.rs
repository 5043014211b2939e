//! When to look at a clock that no timer watches: the CPU time of the program.

use std::time::Duration;

/// Looks at a running CPU clock no more often than this, however little of the budget is left: the
/// kernel brings cpu.stat up to date at its own ticks anyway.
const SHORTEST_LOOK: Duration = Duration::from_micros(500);

/// When to look at the CPU time next: not before `parallel` CPUs, all busy, can have used up what is left.
pub(super) fn next_look(used: Duration, limit: Duration, parallel: u32) -> Duration {
    (limit.saturating_sub(used) / parallel.max(1)).max(SHORTEST_LOOK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_look_is_at_the_earliest_moment_of_exhaustion() {
        let ms = Duration::from_millis;
        assert_eq!(next_look(ms(0), ms(1000), 1), ms(1000));
        assert_eq!(next_look(ms(200), ms(1000), 4), ms(200));
        assert_eq!(next_look(ms(1000), ms(1000), 4), SHORTEST_LOOK);
        assert_eq!(next_look(ms(2000), ms(1000), 0), SHORTEST_LOOK);
    }
}
