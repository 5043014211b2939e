//! From the rounds of a load to its rate, and from rates to a score. Pure.

use serde::{Deserialize, Serialize};

use crate::request::Load;

/// The score of a machine whose rates are the nominal ones.
const NOMINAL: f64 = 1000.0;
/// The rate is taken from the fastest of so many rounds each: what disturbs a round only makes it
/// slower. So few, since on a machine that others use, too, all but few are disturbed; one alone
/// would be the luckiest.
const FASTEST: usize = 100;

/// One load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Its name.
    pub(super) name: String,
    /// How fast it went, in this unit.
    pub(super) rate: f64,
    /// The unit.
    pub(super) unit: String,
    /// By how much the median round was slower than those that the rate is from.
    pub(super) spread_percent: f64,
    /// How many rounds there were.
    pub(super) rounds: usize,
    /// How fast it went, beside the reference.
    pub(super) factor: Option<f64>,
}

/// The rate of one load, from what it told; `None` when that makes no sense.
pub(super) fn measured(load: Load, told: &str) -> Option<Measured> {
    let rounds: Option<Vec<(f64, f64)>> = told.lines().map(round).collect();
    let mut seconds: Vec<f64> = Vec::new();
    let mut steps = 0.0;
    for (of_round, taken) in rounds? {
        steps = of_round;
        seconds.push(taken);
    }
    seconds.sort_by(f64::total_cmp);
    let count = seconds.len();
    let fastest = seconds.get(..count.div_ceil(FASTEST))?;
    let median = *seconds.get(count / 2)?;
    let mean = fastest.iter().sum::<f64>() / fastest.len() as f64;
    let rate = steps / mean / load.steps_of_unit();
    Some(Measured {
        name: load.name().to_owned(),
        rate,
        unit: load.unit().to_owned(),
        spread_percent: (median / mean - 1.0) * 100.0,
        rounds: count,
        factor: None,
    })
}

fn round(line: &str) -> Option<(f64, f64)> {
    let (steps, nanoseconds) = line.split_once(' ')?;
    let (steps, nanoseconds): (u64, u64) = (steps.parse().ok()?, nanoseconds.parse().ok()?);
    (steps > 0 && nanoseconds > 0).then_some((steps as f64, nanoseconds as f64 / 1e9))
}

/// The score of all loads: the geometric mean of what each is to the nominal one.
pub(super) fn score(loads: &[Measured]) -> f64 {
    let nominal = |name: &str| {
        let mut all = Load::ALL.into_iter();
        let load = all.find(|load| load.name() == name);
        load.map_or(1.0, Load::nominal)
    };
    let ratios = loads.iter().map(|load| load.rate / nominal(&load.name));
    mean(ratios) * NOMINAL
}

/// The geometric mean.
pub(super) fn mean(numbers: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for number in numbers {
        sum += number.ln();
        count += 1.0;
    }
    f64::exp(sum / count)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9 * other.abs()
    }

    #[test]
    fn a_rate_is_that_of_the_fastest_rounds() {
        // 1 ms each, and disturbed ones.
        let disturbed = "1000000 1100000\n1000000 9000000\n1000000 1100000\n".repeat(50);
        let told = format!("1000000 1000000\n{disturbed}1000000 1000000\n");
        let found = measured(Load::Integer, &told).unwrap();
        assert!(near(found.rate, 1000.0), "{found:?}");
        assert!((found.spread_percent - 10.0).abs() < 1e-6, "{found:?}");
        assert_eq!(found.rounds, 152);
        for nonsense in ["", "x", "1 0\n", "1\n", "1 1\n-1 1\n"] {
            assert!(measured(Load::Integer, nonsense).is_none(), "{nonsense}");
        }
    }
}
