//! Runs a command and passes on what it prints as it comes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

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
    let start = Instant::now();
    let (status, cpu) = loop {
        let ended = computed_at_the_end(child.id());
        reader.read_to_end(&mut bytes)?;
        while let Some(length) = bytes[told..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&bytes[told..told + length]);
            screen.line(label, line.trim_end());
            told += length + 1;
        }
        if let Some(cpu) = ended {
            break (child.wait()?, cpu);
        }
        sleep(LOOK);
    };
    if told < bytes.len() {
        screen.line(label, &String::from_utf8_lossy(&bytes[told..]));
    }
    screen.spent(label, start.elapsed(), cpu);
    Ok(Ended {
        status: status.code(),
        output: String::from_utf8_lossy(&bytes).into_owned(),
    })
}

/// What a child of ours and its children computed, once it has ended and nobody has waited for it yet.
fn computed_at_the_end(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    computed(&stat)
}

/// By `/proc/PID/stat` of a process that has ended: user and system time, its own and that of those it waited for.
fn computed(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    if !matches!(fields.next(), Some("Z" | "X")) {
        return None;
    }
    let ticks = fields
        .skip(10)
        .take(4)
        .filter_map(|field| field.parse::<u64>().ok());
    Some(Duration::from_millis(ticks.sum::<u64>() * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_computed_is_known_once_a_process_has_ended() {
        let fields = "1 100 100 0 -1 4228364 10 20 0 0 1 2 30 40 20 0 1 0 5 0";
        let ended = format!("7 (a (b) c) Z {fields}");
        assert_eq!(computed(&ended), Some(Duration::from_millis(730)));
        assert_eq!(computed(&format!("7 (a) S {fields}")), None);
    }
}
