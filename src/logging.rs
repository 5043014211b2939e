//! `-v`: what happens, on stderr or wherever the lines are sent. Without `-v` there are none, since
//! stderr is the program's.

use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

use log::{LevelFilter, Log, Metadata, Record};

/// Takes one line with its end.
type Sink = dyn Fn(String) + Send + Sync;

/// Puts the time since the start before each line, and the time since the line before, which show
/// where the set-up takes its time.
struct Lines {
    start: Instant,
    /// When the last line came.
    last: Mutex<Instant>,
    sink: Box<Sink>,
}

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The bus client logs, too, but about things that no user of ours knows.
        metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let now = Instant::now();
            // Whoever has the lock does nothing with it but this.
            let before = match self.last.lock() {
                Ok(mut last) => std::mem::replace(&mut *last, now),
                Err(_) => now,
            };
            let milliseconds = |since: Instant| now.duration_since(since).as_secs_f64() * 1e3;
            (self.sink)(format!(
                "isolate-run: [{:8.3} ms {:+8.3}] {}\n",
                milliseconds(self.start),
                milliseconds(before),
                record.args()
            ));
        }
    }

    fn flush(&self) {}
}

/// Starts logging to stderr, at the level that this many `-v` stand for.
pub(crate) fn start(verbosity: u8) {
    // A message that cannot be written cannot be reported either.
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
    let start = Instant::now();
    let lines = Lines {
        start,
        last: Mutex::new(start),
        sink: Box::new(sink),
    };
    if log::set_boxed_logger(Box::new(lines)).is_ok() {
        log::set_max_level(level);
    }
}
