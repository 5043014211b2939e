//! Several runs of one program, and what they have in common. Pure.

use serde_json::{Value, json};

use crate::screen::{Ink, Screen};

/// The reports of the runs.
#[derive(Debug, Default)]
pub(super) struct Series {
    reports: Vec<Value>,
}

/// What a figure was over all runs.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
    mean: f64,
    /// The standard deviation of a sample.
    deviation: f64,
}

/// The most lines of a histogram.
const BINS: usize = 6;

/// The widest bar of a histogram.
const BAR: usize = 40;

impl Series {
    /// Adds a run.
    pub(super) fn add(&mut self, report: Value) {
        self.reports.push(report);
    }

    fn figures(&self, name: &str) -> Vec<f64> {
        let figures = self.reports.iter().map(|report| &report["figures"][name]);
        figures.filter_map(Value::as_f64).collect()
    }

    /// What is said when a run was not well; the others are not made.
    pub(super) fn failed(&self, of: u32, json: bool, screen: Screen) -> String {
        if json {
            return self.as_json();
        }
        let number = self.reports.len();
        let last = self.reports.last().unwrap_or(&Value::Null);
        let text = |key: &str| last[key].as_str().unwrap_or_default().to_owned();
        let verdict = screen.paint(Ink::Red, &text("verdict").replace('_', " "));
        let message = match last["message"].as_str() {
            Some(message) => format!(": {message}"),
            None => String::new(),
        };
        format!("isolate-run: run {number} of {of}: {verdict}{message}; the rest was not tried")
    }

    /// What is said when all are made.
    pub(super) fn told(&self, json: bool, screen: Screen) -> String {
        if json {
            return self.as_json();
        }
        let mebibytes = |value: f64| format!("{:.1} MiB", value / f64::from(1 << 20));
        let count = self.reports.len();
        let ok = screen.paint(Ink::Green, "ok");
        let mut lines = vec![format!("isolate-run: {count} runs, all {ok}")];
        let head = format!(
            "  {:<8}{:>12}{:>12}{:>12}{:>12}",
            "", "min", "median", "max", "spread"
        );
        lines.push(screen.paint(Ink::Bold, &head));
        let memory = match self.figures("memory_peak_bytes").is_empty() {
            true => "max_rss_bytes",
            false => "memory_peak_bytes",
        };
        let rows = [
            ("CPU", "cpu_time_us"),
            ("wall", "wall_time_us"),
            ("memory", memory),
        ];
        for (name, figure) in rows {
            if let Some(spread) = Spread::of(&self.figures(figure)) {
                let shown = |value| match name {
                    "memory" => mebibytes(value),
                    _ => time(value, spread.most),
                };
                lines.push(format!(
                    "  {name:<8}{:>12}{:>12}{:>12}{:>12}",
                    shown(spread.least),
                    shown(spread.median),
                    shown(spread.most),
                    format!("±{}", shown(spread.deviation)),
                ));
            }
        }
        let cpu = self.figures("cpu_time_us");
        let bars = bars(&cpu);
        if bars.len() > 1 {
            lines.push("  runs by CPU time:".to_owned());
            let longest = cpu.iter().copied().fold(0.0, f64::max);
            let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(1);
            for (from, count) in bars {
                let bar = "█".repeat((count * BAR).div_ceil(most.max(1)));
                let bar = format!("  {:>10}  {bar} {count}", time(from, longest));
                lines.push(bar);
            }
        }
        lines.join("\n")
    }

    fn as_json(&self) -> String {
        let spread = |name: &str| {
            let spread = Spread::of(&self.figures(name))?;
            Some(json!({
                "min": spread.least,
                "median": spread.median,
                "max": spread.most,
                "mean": spread.mean,
                "standard_deviation": spread.deviation,
            }))
        };
        let mut document = json!({ "runs": self.reports.len() });
        for name in [
            "cpu_time_us",
            "wall_time_us",
            "memory_peak_bytes",
            "max_rss_bytes",
        ] {
            if let Some(spread) = spread(name) {
                document[name] = spread;
            }
        }
        document["reports"] = Value::Array(self.reports.clone());
        document.to_string()
    }
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let count = sorted.len();
        let median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0;
        let mean = sorted.iter().sum::<f64>() / count as f64;
        let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = match count {
            1 => 0.0,
            _ => (squares / (count - 1) as f64).sqrt(),
        };
        Some(Self {
            least,
            median,
            most,
            mean,
            deviation,
        })
    }
}

/// A time of so many microseconds, beside others of which this is the longest: in seconds, or in
/// milliseconds where seconds would be alike.
fn time(micros: f64, longest: f64) -> String {
    match longest < 100_000.0 {
        true => format!("{:.3} ms", micros / 1e3),
        false => format!("{:.3} s", micros / 1e6),
    }
}

/// A histogram: where each bin begins, and how many values are in it.
fn bars(values: &[f64]) -> Vec<(f64, usize)> {
    let Some(Spread { least, most, .. }) = Spread::of(values) else {
        return Vec::new();
    };
    let bins = BINS.min(values.len());
    if bins < 2 || most <= least {
        return Vec::new();
    }
    let width = (most - least) / bins as f64;
    let bin = |value: f64| (((value - least) / width) as usize).min(bins - 1);
    let count = |at| values.iter().filter(|value| bin(**value) == at).count();
    (0..bins)
        .map(|at| (least + width * at as f64, count(at)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(times: &[u64]) -> Series {
        let mut series = Series::default();
        for time in times {
            series.add(json!({
                "verdict": "ok",
                "figures": { "cpu_time_us": time, "wall_time_us": 2 * time, "max_rss_bytes": 1 << 20 }
            }));
        }
        series
    }

    #[test]
    fn the_figures_of_all_runs_are_put_together() {
        let values = [4.0, 1.0, 3.0, 2.0];
        let spread = Spread::of(&values).unwrap();
        assert_eq!((spread.least, spread.median, spread.most), (1.0, 2.5, 4.0));
        assert!((spread.deviation - 1.291).abs() < 0.001, "{spread:?}");
        assert_eq!(Spread::of(&[7.0]).unwrap().deviation, 0.0);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn every_run_is_in_the_histogram_once() {
        let values: Vec<f64> = (0..100_u32).map(|value| f64::from(value * value)).collect();
        let bars = bars(&values);
        assert_eq!(bars.len(), BINS);
        assert_eq!(bars.iter().map(|(_, count)| count).sum::<usize>(), 100);
        assert!(super::bars(&[3.0, 3.0]).is_empty());
    }

    #[test]
    fn what_is_told_has_a_row_for_each_figure() {
        let told = series(&[1_000_000, 2_000_000]).told(false, Screen::PLAIN);
        assert!(told.starts_with("isolate-run: 2 runs, all ok\n"), "{told}");
        let row = "  CPU          1.000 s     1.500 s     2.000 s    ±0.707 s\n";
        assert!(told.contains(row), "{told}");
        let short = series(&[800, 1_300]).told(false, Screen::PLAIN);
        let row = "  CPU         0.800 ms    1.050 ms    1.300 ms   ±0.354 ms\n";
        assert!(short.contains(row), "{short}");
        let is_wide = |line: &&str| line.chars().count() > 80;
        assert_eq!(told.lines().find(is_wide), None);
        let json = series(&[1, 3]).told(true, Screen::PLAIN);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["cpu_time_us"]["median"], 2.0);
        assert_eq!(json["reports"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_run_that_was_not_well_is_named() {
        let mut series = series(&[1]);
        series.add(json!({ "verdict": "exit_code", "message": "Exited with error status 3" }));
        let told = series.failed(10, false, Screen::PLAIN);
        assert_eq!(
            told,
            "isolate-run: run 2 of 10: exit code: Exited with error status 3; the rest was not tried"
        );
    }
}
