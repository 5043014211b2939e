//! `-v`: what happens, on stderr. Without it, nothing: stderr is the program's.

use std::io::Write;
use std::time::Instant;

use log::{LevelFilter, Log, Metadata, Record};

/// Writes to stderr, with the time since the start in front: where the set-up takes its time can be seen.
struct Stderr(Instant);

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The bus client logs, too, but speaks of things that no user of ours knows.
        metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // A message that cannot be written cannot be reported, either.
            drop(writeln!(
                std::io::stderr(),
                "isolate-run: [{:8.3} ms] {}",
                self.0.elapsed().as_secs_f64() * 1e3,
                record.args()
            ));
        }
    }

    fn flush(&self) {}
}

/// Starts logging at the level that so many `-v` stand for.
pub(crate) fn start(verbosity: u8) {
    let level = match verbosity {
        0 => return,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    if log::set_boxed_logger(Box::new(Stderr(Instant::now()))).is_ok() {
        log::set_max_level(level);
    }
}
