//! The loads: fixed pieces of work, each of which leans on one part of the machine. They run inside
//! of a box, in a process of their own.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::failure::Failure;
use crate::request::Load;

/// Rounds before those that count, in which code and memory are mapped.
const WARM_UP: usize = 2;
/// The fewest rounds that count, however slow the machine.
const FEWEST: usize = 5;
/// Far more than any cache holds, in bytes.
const LARGE: usize = 64 << 20;

/// What a load is: how much work a round has, and the work. A round takes less than a millisecond:
/// the shorter, the more of them nothing disturbs, neither a timer of the kernel nor what runs on
/// the other thread of the core.
struct Work {
    /// Steps of a round.
    steps: u64,
    /// Does one round.
    round: Box<dyn FnMut(u64)>,
}

impl Load {
    /// What a step is.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Integer => "million multiplications a second",
            Self::Branches => "million unpredictable branches a second",
            Self::Latency => "million dependent reads of memory a second",
            Self::Bandwidth => "MiB of memory read a second",
            Self::Calls => "million system calls a second",
        }
    }

    /// How many steps there are in a unit.
    pub(super) fn steps_of_unit(self) -> f64 {
        match self {
            Self::Bandwidth => (1 << 20) as f64,
            _ => 1e6,
        }
    }

    /// The rate, in its unit, of a machine whose score is 1000.
    pub(super) fn nominal(self) -> f64 {
        match self {
            Self::Integer => 725.0,
            Self::Branches => 125.0,
            Self::Latency => 4.0,
            Self::Bandwidth => 20_000.0,
            Self::Calls => 5.0,
        }
    }

    fn work(self) -> Work {
        match self {
            Self::Integer => Work {
                steps: 200_000,
                round: Box::new(integer),
            },
            Self::Branches => Work {
                steps: 50_000,
                round: Box::new(branches),
            },
            Self::Latency => {
                let chain = chain();
                let mut at = 0;
                Work {
                    steps: 2_500,
                    round: Box::new(move |steps| {
                        for _ in 0..steps {
                            at = chain[at].next;
                        }
                        black_box(at);
                    }),
                }
            }
            Self::Bandwidth => {
                let words: Vec<u64> = (0..LARGE as u64 / 8).collect();
                let mut at = 0;
                Work {
                    steps: 4 << 20,
                    round: Box::new(move |steps| {
                        let count = (steps / 8) as usize;
                        let piece = words[at..].iter().take(count);
                        let sum = piece.fold(0_u64, |sum, word| sum.wrapping_add(*word));
                        black_box(sum);
                        at = (at + count) % words.len();
                    }),
                }
            }
            Self::Calls => Work {
                steps: 2_500,
                round: Box::new(|steps| {
                    for _ in 0..steps {
                        black_box(nix::unistd::getppid());
                    }
                }),
            },
        }
    }
}

/// Does rounds of a load for this long, and tells of each: a line with its steps and its
/// nanoseconds of CPU time.
pub(super) fn run(load: Load, time: Duration) -> Result<String, Failure> {
    let mut work = load.work();
    let begin = cpu_time()?;
    let mut text = String::new();
    for round in 0.. {
        let before = cpu_time()?;
        (work.round)(work.steps);
        let after = cpu_time()?;
        let taken = after.saturating_sub(before);
        if round >= WARM_UP {
            // A String takes everything.
            writeln!(text, "{} {}", work.steps, taken.as_nanos()).ok();
        }
        if round + 1 >= WARM_UP + FEWEST && after.saturating_sub(begin) >= time {
            break;
        }
    }
    Ok(text)
}

fn cpu_time() -> Result<Duration, Failure> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    time.map(Duration::from)
        .map_err(Failure::at("cannot read the CPU time of this process"))
}

/// A chain of multiplications, each of which waits for the one before.
fn integer(steps: u64) {
    let mut number = black_box(1_u64);
    for _ in 0..steps {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407)
            .rotate_left(7);
    }
    black_box(number);
}

/// Branches that nobody can foresee, into functions that are not inlined.
fn branches(steps: u64) {
    let mut random = Random(black_box(88_172_645_463_325_252));
    let mut number = 0;
    for _ in 0..steps {
        number = match random.next() & 3 {
            0 => first(number),
            1 => second(number),
            2 => third(number),
            _ => fourth(number),
        };
    }
    black_box(number);
}

#[inline(never)]
fn first(number: u64) -> u64 {
    black_box(number ^ 0x55)
}

#[inline(never)]
fn second(number: u64) -> u64 {
    black_box(number.wrapping_add(3))
}

#[inline(never)]
fn third(number: u64) -> u64 {
    black_box(number.rotate_left(1))
}

#[inline(never)]
fn fourth(number: u64) -> u64 {
    black_box(number.wrapping_sub(7))
}

/// A place of a chain, which has a line to itself: what memory and caches move at once; some move
/// two.
#[repr(align(64))]
struct Place {
    next: usize,
}

/// All lines of a large field in an order that no prefetcher knows, as one ring (Sattolo).
fn chain() -> Vec<Place> {
    let mut chain: Vec<Place> = (0..LARGE / size_of::<Place>())
        .map(|next| Place { next })
        .collect();
    let mut random = Random(88_172_645_463_325_252);
    for last in (1..chain.len()).rev() {
        let other = (random.next() % last as u64) as usize;
        chain.swap(last, other);
    }
    chain
}

/// xorshift64 (Marsaglia, 2003): the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_tells_of_each_round() {
        let text = run(Load::Calls, Duration::ZERO).unwrap();
        assert_eq!(text.lines().count(), FEWEST);
        assert!(text.lines().all(|line| line.starts_with("2500 ")));
    }
}
