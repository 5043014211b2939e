//! Runs a command and passes on what it prints as it comes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::screen::Screen;

/// How often a command's output is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A command that came to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None`: ended by a signal.
    pub(crate) status: Option<i32>,
    /// All it printed.
    pub(crate) output: String,
}

impl Ended {
    pub(crate) fn ok(&self) -> bool {
        self.status == Some(0)
    }
}

/// Runs a command whose output, in the file `log`, comes out as it happens. Through a file: a process that the command
/// left behind would hold a pipe open for ever. Where `stdout` is given the output is stderr alone.
///
/// # Errors
///
/// The command cannot be started, or `log` not be written.
pub(crate) fn run(
    screen: &Screen,
    label: &str,
    log: &Path,
    stdout: Option<&Path>,
    command: &mut Command,
) -> io::Result<Ended> {
    let file = File::create(log)?;
    let out = match stdout {
        Some(path) => File::create(path)?,
        None => file.try_clone()?,
    };
    command.stdin(Stdio::null()).stdout(out).stderr(file);
    let mut child = command.spawn().map_err(|error| {
        let program = command.get_program();
        io::Error::new(error.kind(), format!("{program:?}: {error}"))
    })?;
    let mut reader = File::open(log)?;
    let (mut bytes, mut told) = (Vec::new(), 0);
    let status = loop {
        let ended = child.try_wait()?;
        reader.read_to_end(&mut bytes)?;
        while let Some(length) = bytes[told..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&bytes[told..told + length]);
            screen.line(label, line.trim_end());
            told += length + 1;
        }
        if let Some(status) = ended {
            break status;
        }
        sleep(LOOK);
    };
    if told < bytes.len() {
        screen.line(label, &String::from_utf8_lossy(&bytes[told..]));
    }
    Ok(Ended {
        status: status.code(),
        output: String::from_utf8_lossy(&bytes).into_owned(),
    })
}
