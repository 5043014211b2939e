//! What `systemctl status isolate.service` says about the broker: whether the configuration can be
//! used. With a mistake in it the broker lives, and nobody's program runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::config::{self, ConfigSource};
use crate::error::chain;

/// How long what was said stays true.
const FRESH: Duration = Duration::from_secs(5);

/// The line of state, and when it was found.
#[derive(Debug)]
pub(super) struct State {
    config: Option<PathBuf>,
    said: Option<String>,
    looked: Option<Instant>,
}

impl State {
    /// Nothing was said yet. `config` is the file of the configuration; `None` is the usual one.
    pub(super) fn new(config: Option<&Path>) -> Self {
        Self {
            config: config.map(Path::to_owned),
            said: None,
            looked: None,
        }
    }

    /// Tells systemd, if something is new since it was last looked at, which is not often.
    pub(super) fn tell(&mut self) {
        let now = Instant::now();
        if self.looked.is_some_and(|looked| now < looked + FRESH) {
            return;
        }
        self.looked = Some(now);
        let line = self.line();
        if self.said.as_deref() != Some(&*line) {
            // Where systemd does not listen nobody asks.
            sd_notify::notify(&[NotifyState::Status(&line)]).ok();
            self.said = Some(line);
        }
    }

    fn line(&self) -> String {
        match config::load(&ConfigSource::new(self.config.as_deref())) {
            Ok(_) => "Serving callers".to_owned(),
            // A line of the message ends at the first newline.
            Err(error) => format!("Nothing runs: {}", chain(&error)).replace('\n', " "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_the_configuration_is_the_state() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("isolate.toml");
        std::fs::write(&file, "").unwrap();
        let state = State::new(Some(&file));
        assert_eq!(state.line(), "Serving callers");
        std::fs::write(&file, "[boxes]\ncuont = 5\n").unwrap();
        let line = state.line();
        assert!(line.starts_with("Nothing runs: "), "{line}");
        assert!(line.contains(":2: boxes.cuont"), "{line}");
    }
}
