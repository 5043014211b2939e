//! What is said to whoever called: lines on standard output, and the log on standard error.

use std::io::{self, Write};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// A line on standard output. One that nobody reads is no error.
pub(crate) fn tell(line: &str) {
    writeln!(io::stdout().lock(), "{line}").ok();
}

/// A line on standard error.
pub(crate) fn complain(line: &str) {
    writeln!(io::stderr().lock(), "isolate-run-worker: {line}").ok();
}

/// Where the log goes: the journal reads the number of a level in front.
#[derive(Debug)]
struct Stderr {
    for_journal: bool,
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What the client of NATS says of its work is not of interest, unless it goes wrong.
        metadata.target().starts_with("isolate_run") || metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let number = match record.level() {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        let text = record.args().to_string().replace('\n', " ");
        match self.for_journal {
            true => writeln!(io::stderr().lock(), "<{number}>{text}").ok(),
            false => writeln!(io::stderr().lock(), "isolate-run-worker: {text}").ok(),
        };
    }

    fn flush(&self) {}
}

/// Begins to log.
pub(crate) fn start_log(verbose: bool) {
    let for_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let logger = Box::leak(Box::new(Stderr { for_journal }));
    // Only a second one would be refused.
    log::set_logger(logger).ok();
    log::set_max_level(if verbose {
        LevelFilter::Debug
    } else {
        LevelFilter::Info
    });
}
