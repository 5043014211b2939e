//! `-v`: what happens, on stderr or wherever it is sent. Without it, nothing: stderr is the program's.

use std::io::Write;
use std::time::Instant;

use log::{LevelFilter, Log, Metadata, Record};

/// Takes one line, its end included.
type Sink = dyn Fn(String) + Send + Sync;

/// Lines with the time since the start in front: where the set-up takes its time can be seen.
struct Lines {
    start: Instant,
    sink: Box<Sink>,
}

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The bus client logs, too, but speaks of things that no user of ours knows.
        metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            (self.sink)(format!(
                "isolate-run: [{:8.3} ms] {}\n",
                self.start.elapsed().as_secs_f64() * 1e3,
                record.args()
            ));
        }
    }

    fn flush(&self) {}
}

/// Starts logging to stderr, at the level that so many `-v` stand for.
pub(crate) fn start(verbosity: u8) {
    // A message that cannot be written cannot be reported, either.
    start_to(verbosity, |line| {
        drop(std::io::stderr().write_all(line.as_bytes()));
    });
}

/// Starts logging to somebody who takes lines.
pub(crate) fn start_to(verbosity: u8, sink: impl Fn(String) + Send + Sync + 'static) {
    let level = match verbosity {
        0 => return,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    let lines = Lines {
        start: Instant::now(),
        sink: Box::new(sink),
    };
    if log::set_boxed_logger(Box::new(lines)).is_ok() {
        log::set_max_level(level);
    }
}
