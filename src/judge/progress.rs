//! The bar on a terminal while tests are judged. Without a terminal there is none.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::row::Row;
use super::table::counts;
use crate::error::printable;

/// The bar.
pub(super) struct Progress {
    bar: ProgressBar,
    slowest: Option<(u64, String)>,
}

impl Progress {
    /// For so many tests.
    pub(super) fn new(tests: usize) -> Self {
        // It hides itself where stderr is no terminal, and has no thread.
        let bar = ProgressBar::with_draw_target(Some(tests as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, slowest: None }
    }

    /// One more is judged; these are.
    pub(super) fn judged(&mut self, row: &Row, all: &[Row]) {
        if let Some(cpu) = row.cpu_us {
            if self.slowest.as_ref().is_none_or(|(most, _)| cpu > *most) {
                self.slowest = Some((cpu, printable(&row.name)));
            }
        }
        let slowest = self
            .slowest
            .as_ref()
            .map_or_else(String::new, |(cpu, name)| {
                format!("; slowest: {name}, {:.3} s", *cpu as f64 / 1e6)
            });
        self.bar.set_message(format!("{}{slowest}", counts(all)));
        self.bar.inc(1);
    }

    /// It goes away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
