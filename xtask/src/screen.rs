//! What is said while things run at the same time: whole lines, each with who says it, and on a terminal one line below
//! them that tells how far it is.

use std::io::{IsTerminal, Write, stdout};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::failures::Failures;

/// Where everything is said.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What runs at this moment.
    running: Vec<String>,
    passed: usize,
    failed: usize,
    failures: Failures,
    spent: Vec<Spent>,
}

/// What a command took: who ran it, how long, and how much of that processors computed for it.
#[derive(Debug, Clone)]
pub(crate) struct Spent {
    pub(crate) label: String,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// Something runs for as long as this is there.
#[derive(Debug)]
#[must_use]
pub(crate) struct Running<'a> {
    screen: &'a Screen,
    label: String,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            terminal: stdout().is_terminal(),
            start: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// Says what begins.
    pub(crate) fn begin(&self, label: &str) -> Running<'_> {
        let mut state = self.state();
        state.running.push(label.to_owned());
        self.put(&state, &format!("=== {label}  [{}]", self.time()));
        let label = label.to_owned();
        Running {
            screen: self,
            label,
        }
    }

    /// One line of what `label` prints.
    pub(crate) fn line(&self, label: &str, text: &str) {
        let mut state = self.state();
        if text.starts_with("test ") {
            state.passed += usize::from(text.ends_with("... ok"));
            state.failed += usize::from(text.ends_with("... FAILED"));
        }
        state.failures.line(label, text);
        self.put(&state, &format!("{label} | {text}"));
    }

    /// A command of `label` came to its end.
    pub(crate) fn spent(&self, label: &str, wall: Duration, cpu: Duration) {
        let label = label.to_owned();
        self.state().spent.push(Spent { label, wall, cpu });
    }

    /// All that was spent, in the order in which it ended.
    pub(crate) fn all_spent(&self) -> Vec<Spent> {
        self.state().spent.clone()
    }

    /// What was said of tests that failed, and of problems.
    pub(crate) fn all_failures(&self) -> Vec<String> {
        self.state().failures.lines().to_vec()
    }

    pub(crate) fn problem(&self, label: &str, text: &str) {
        self.line(label, &format!("PROBLEM: {text}"));
    }

    /// A line of the summary, and no other below it.
    pub(crate) fn last(&self, text: &str) {
        self.put(&State::default(), text);
    }

    fn put(&self, state: &State, text: &str) {
        let mut out = stdout().lock();
        let below = if state.running.is_empty() || !self.terminal {
            String::new()
        } else {
            let running = state.running.join(", ");
            let State { passed, failed, .. } = state;
            format!("[{}] {passed} ok, {failed} failed; {running}", self.time())
        };
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        // Nobody may be left to read it.
        drop(write!(out, "{clear}{text}\n{below}").and_then(|()| out.flush()));
    }

    fn time(&self) -> String {
        let seconds = self.start.elapsed().as_secs();
        format!("{}:{:02}", seconds / 60, seconds % 60)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.screen.state();
        if let Some(at) = state.running.iter().position(|other| *other == self.label) {
            state.running.remove(at);
        }
    }
}
