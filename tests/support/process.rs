//! Processes that are waited for, but not for ever.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{sleep, spawn, yield_now};
use std::time::{Duration, Instant};

use super::Output;

/// What anything may take on a machine of normal speed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether this is an emulated machine, where everything takes 20 to 40 times longer.
pub(crate) fn slow() -> bool {
    std::env::var_os("ISOLATE_TEST_SLOW").is_some()
}

/// What anything may take here; `ISOLATE_TEST_PATIENCE` seconds, if that is set.
pub(crate) fn patience() -> Duration {
    if let Ok(seconds) = std::env::var("ISOLATE_TEST_PATIENCE") {
        return Duration::from_secs(seconds.parse().unwrap());
    }
    if slow() { PATIENCE * 10 } else { PATIENCE }
}

/// The children of a process; none when it is gone.
pub(crate) fn children_of(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let pids = list.split_whitespace();
    pids.map(|pid| pid.parse().unwrap()).collect()
}

/// Waits until something holds; the test fails when it never does.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + patience();
    while !holds() {
        assert!(Instant::now() < end, "never came true: {what}");
        sleep(Duration::from_millis(10));
    }
}

/// Runs a command with an empty standard input to its end.
pub(crate) fn finish(command: Command) -> Output {
    finish_with_input(command, b"")
}

/// Runs a command to its end with `input` on a pipe as its standard input.
pub(crate) fn finish_with_input(command: Command, input: &[u8]) -> Output {
    Started::new(command, Some(input)).finish()
}

/// A command that runs. Killed when nobody waited for it.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    shown: String,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    end: Instant,
}

impl Started {
    /// Starts a command. Without `input`, its standard input is as the command says.
    pub(crate) fn new(mut command: Command, input: Option<&[u8]>) -> Self {
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let shown = format!("{command:?}");
        let mut child = loop {
            match command.spawn() {
                Ok(child) => break child,
                // A program that was written a moment ago: a child of another test has it open until its exec.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => yield_now(),
                Err(error) => panic!("{shown}: {error}"),
            }
        };
        if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
            let input = input.to_owned();
            // Not everybody reads everything.
            spawn(move || drop(pipe.write_all(&input)));
        }
        let stdout = drain(child.stdout.take().unwrap());
        let stderr = drain(child.stderr.take().unwrap());
        Self {
            child,
            shown,
            stdout,
            stderr,
            end: Instant::now() + patience(),
        }
    }

    /// The PID of the command.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end; the test fails when that does not come.
    pub(crate) fn finish(mut self) -> Output {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > self.end {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!("did not end in time: {}", self.shown);
            }
            sleep(Duration::from_millis(2));
        };
        let left = self.end.saturating_duration_since(Instant::now());
        let read = |pipe: &Receiver<Vec<u8>>, name| {
            let text = pipe.recv_timeout(left.max(Duration::from_secs(5)));
            text.unwrap_or_else(|_| panic!("somebody still holds {name} of {}", self.shown))
        };
        let output = Output::new(
            status,
            &read(&self.stdout, "stdout"),
            &read(&self.stderr, "stderr"),
        );
        let panicked =
            output.code == 101 || output.code == -6 || output.stderr.contains("panicked at");
        assert!(!panicked, "{} panicked: {}", self.shown, output.stderr);
        output
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is what there is.
        drop(pipe.read_to_end(&mut bytes));
        drop(sender.send(bytes));
    });
    receiver
}
