//! One run in a box: how it is asked for, started and waited for.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::process::Started;
use super::{Meta, Run, TestBox, owned};

/// A run that is not started yet.
#[derive(Debug)]
#[must_use]
pub(crate) struct Job {
    test_box: TestBox,
    options: Vec<OsString>,
    argv: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    input: Option<Vec<u8>>,
    stdin: Option<Stdio>,
    wrapper: Option<String>,
    meta: PathBuf,
}

impl Job {
    pub(super) fn new(test_box: TestBox, argv: Vec<OsString>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let meta = test_box.out().join(format!("meta-{number}"));
        Self {
            test_box,
            options: Vec::new(),
            argv,
            environment: Vec::new(),
            input: Some(Vec::new()),
            stdin: None,
            wrapper: None,
            meta,
        }
    }

    /// Adds options of the sandbox.
    pub(crate) fn options<S: AsRef<OsStr>>(mut self, options: &[S]) -> Self {
        self.options.extend(owned(options));
        self
    }

    /// Adds arguments of the program.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: &[S]) -> Self {
        self.argv.extend(owned(args));
        self
    }

    /// Sets a variable in the environment of the sandbox.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let variable = (name.as_ref().to_owned(), value.as_ref().to_owned());
        self.environment.push(variable);
        self
    }

    /// What comes through the pipe that is the sandbox's standard input; nothing by default.
    pub(crate) fn input(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.input = Some(bytes.as_ref().to_owned());
        self
    }

    /// The sandbox's standard input itself.
    pub(crate) fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = Some(stdin.into());
        self.input = None;
        self
    }

    /// Lets a shell script of the caller's start the sandbox, which is its `"$@"`.
    pub(crate) fn through(mut self, script: &str) -> Self {
        self.wrapper = Some(script.to_owned());
        self
    }

    /// The meta file.
    pub(crate) fn meta(mut self, path: impl Into<PathBuf>) -> Self {
        self.meta = path.into();
        self
    }

    /// The command line as it will be.
    pub(crate) fn to_command(&self) -> Command {
        let mut command = self.test_box.command_through(self.wrapper.as_deref());
        command.arg("--meta").arg(&self.meta).args(&self.options);
        command.arg("--run").arg("--").args(&self.argv);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Run {
        self.spawn().finish()
    }

    /// Starts it, and returns.
    pub(crate) fn spawn(mut self) -> Running {
        let mut command = self.to_command();
        if let Some(stdin) = self.stdin.take() {
            command.stdin(stdin);
        }
        Running {
            started: Started::new(command, self.input.as_deref()),
            meta: self.meta,
            test_box: self.test_box,
        }
    }
}

/// A run that goes on.
#[derive(Debug)]
#[must_use]
pub(crate) struct Running {
    // Before the box: the keeper is killed before the box is cleaned up.
    started: Started,
    meta: PathBuf,
    test_box: TestBox,
}

impl Running {
    /// The PID of the keeper.
    pub(crate) fn pid(&self) -> i32 {
        self.started.pid()
    }

    /// Whether the keeper is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.started.is_running()
    }

    /// Sends a signal to the keeper.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// The same; the keeper may have ended.
    pub(crate) fn try_signal(&self, signal: Signal) {
        // Nobody has waited for it, so the number is still its own.
        kill(Pid::from_raw(self.pid()), signal).ok();
    }

    /// Waits until the program has made this file in the box.
    pub(crate) fn wait_for_file(&self, name: &str) {
        let path = self.test_box.inside().join(name);
        super::wait_until(&format!("{} exists", path.display()), || path.exists());
    }

    /// Waits until the program runs.
    pub(crate) fn wait_for_program(&self) {
        super::wait_until("the program runs", || !self.processes().is_empty());
    }

    /// The PIDs of all processes with the box's uid, as this machine counts them.
    pub(crate) fn processes(&self) -> Vec<i32> {
        self.test_box.processes()
    }

    /// Waits for the end.
    pub(crate) fn finish(self) -> Run {
        let output = self.started.finish();
        let meta = fs::read(&self.meta).unwrap_or_default();
        Run::new(output, Meta::parse(&String::from_utf8_lossy(&meta)))
    }
}
