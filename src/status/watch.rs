//! `status --watch`: the table on a screen of its own, drawn anew again and again.
//!
//! What is typed and the signals are descriptors of one wait; the terminal is as it was before
//! however this ends.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::{Attribute, SetAttribute};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{Command, QueueableCommand};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::read;
use terminal_size::{Height, Width, terminal_size_of};

use super::table::{View, lines};
use super::{BoxSeen, Snapshot, State};
use crate::failure::Failure;
use crate::output::write_all;
use crate::sys::poll::{self, Until, readable};

/// Looks by `look` each time that `pause` has passed, until somebody has had enough.
pub(super) fn watch(
    pause: Duration,
    look: impl Fn() -> Result<Snapshot, Failure>,
) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::new(
            "--watch needs a terminal, for what it shows and for what is typed: use --json elsewhere",
        ));
    }
    // A first look that fails says so on the usual screen.
    let mut now = look()?;
    let mut before = None;
    let signals = signals().map_err(Failure::at("cannot take over signals"))?;
    let screen = Screen::enter().map_err(Failure::at("cannot set up the terminal"))?;
    loop {
        let next = Instant::now() + pause;
        let view = View {
            now: &now,
            before: before.as_ref(),
        };
        loop {
            let drawn = frame(view, pause, terminal_size_of(io::stdout()));
            drawn
                .and_then(|frame| write_all(io::stdout(), &frame))
                .map_err(Failure::at("cannot write to the terminal"))?;
            match wait(&signals, next).map_err(Failure::at("cannot wait for the terminal"))? {
                Woken::Resized => {}
                Woken::Late => break,
                Woken::Enough => return Ok(()),
            }
        }
        match look() {
            Ok(seen) => before = Some(std::mem::replace(&mut now, seen)),
            Err(failure) => {
                drop(screen);
                return Err(failure);
            }
        }
    }
}

/// The screen that the table is on. Dropping it gives the terminal back.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        // From here on there is something to give back.
        let screen = Self;
        write_all(io::stdout(), &commands(&[&EnterAlternateScreen, &Hide])?)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        if let Ok(bytes) = commands(&[&Show, &LeaveAlternateScreen]) {
            write_all(io::stdout(), &bytes).ok();
        }
        disable_raw_mode().ok();
    }
}

/// Commands as the bytes that a terminal takes.
fn commands(commands: &[&dyn Ansi]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for command in commands {
        command.add_to(&mut bytes)?;
    }
    Ok(bytes)
}

/// A command whose type does not matter.
trait Ansi {
    fn add_to(&self, bytes: &mut Vec<u8>) -> io::Result<()>;
}

impl<C: Command> Ansi for C {
    fn add_to(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.queue(self)?;
        Ok(())
    }
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    /// It is time for another look.
    Late,
    /// The terminal has another size.
    Resized,
    /// Somebody has had enough, or the terminal is gone.
    Enough,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Typed,
    Signal,
}

fn wait(signals: &SignalFd, until: Instant) -> io::Result<Woken> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Woken::Late);
        }
        let stdin = io::stdin();
        let sources = [
            (Source::Signal, readable(signals.as_fd())),
            (Source::Typed, readable(stdin.as_fd())),
        ];
        match poll::first(sources, Until::within(left))? {
            None => {}
            Some(Source::Typed) => {
                let mut typed = [0; 64];
                match read(&stdin, &mut typed) {
                    Ok(length) if !is_enough(&typed[..length]) => {}
                    _ => return Ok(Woken::Enough),
                }
            }
            Some(Source::Signal) => {
                let signal = signals.read_signal()?.map(|signal| signal.ssi_signo as i32);
                match signal {
                    Some(libc::SIGWINCH) => return Ok(Woken::Resized),
                    Some(_) => return Ok(Woken::Enough),
                    None => {}
                }
            }
        }
    }
}

/// Whether somebody who types this wants it to end: q, Ctrl-C, Ctrl-D, Escape alone, or the end of
/// what is typed.
fn is_enough(typed: &[u8]) -> bool {
    const CTRL_C: u8 = 3;
    const CTRL_D: u8 = 4;
    let ends = |byte: &u8| matches!(byte, b'q' | b'Q' | &CTRL_C | &CTRL_D);
    // The other keys that begin with an escape send more than that.
    matches!(typed, [] | [b'\x1b']) || typed.first() != Some(&b'\x1b') && typed.iter().any(ends)
}

/// The signals that this is about. They are blocked: the end comes in good order.
fn signals() -> nix::Result<SignalFd> {
    let watched: SigSet = [
        Signal::SIGWINCH,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
    ]
    .into_iter()
    .collect();
    watched.thread_block()?;
    SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// The bytes that draw everything anew without a flicker: nothing is cleared before it is written
/// over. The size is in columns and lines.
fn frame(view: View<'_>, pause: Duration, size: Option<(Width, Height)>) -> io::Result<Vec<u8>> {
    let (width, height) = size.map_or((80, 24), |(width, height)| (width.0, height.0));
    let mut bytes = Vec::new();
    bytes.queue(MoveTo(0, 0))?;
    let lines = screenful(view, pause, width.into(), height.into());
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            bytes.extend(b"\r\n");
        }
        let is_heading = at == 2;
        if is_heading {
            bytes.queue(SetAttribute(Attribute::Bold))?;
        }
        bytes.extend(line.as_bytes());
        if is_heading {
            bytes.queue(SetAttribute(Attribute::Reset))?;
        }
        bytes.queue(Clear(ClearType::UntilNewLine))?;
    }
    bytes.queue(Clear(ClearType::FromCursorDown))?;
    Ok(bytes)
}

/// The lines of a screen: how many there are of what, and the boxes, those with a run first.
fn screenful(view: View<'_>, pause: Duration, width: usize, height: usize) -> Vec<String> {
    let mut boxes: Vec<&BoxSeen> = view.now.boxes.iter().collect();
    boxes.sort_by_key(|seen| (seen.state != State::Running, seen.id));
    let count = |state| boxes.iter().filter(|seen| seen.state == state).count();
    let whose = match view.now.all_users {
        true => "",
        false => " of yours",
    };
    let summary = format!(
        "isolate-run: {} boxes{whose}, {} running, {} busy; every {} s; q quits",
        boxes.len(),
        count(State::Running),
        count(State::Busy),
        pause.as_secs_f64()
    );
    let mut lines = vec![summary, String::new()];
    lines.extend(self::lines(view, &boxes, Some(width)));
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    if lines.len() > height && height > 0 {
        let hidden = lines.len() - (height - 1);
        lines.truncate(height - 1);
        lines.push(format!("… and {hidden} more"));
    }
    let cut = |line: String| line.chars().take(width).collect();
    lines.into_iter().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::snapshot;
    use super::*;

    #[test]
    fn a_screen_is_never_wider_or_longer_than_it_is() {
        let mut now = snapshot();
        let stray = now.boxes[1].clone();
        now.boxes.extend((20..60).map(|id| BoxSeen {
            id,
            ..stray.clone()
        }));
        let view = View {
            now: &now,
            before: None,
        };
        let second = Duration::from_secs(1);
        for (width, height) in [(80, 24), (20, 5), (1, 1), (200, 100), (0, 0)] {
            let lines = screenful(view, second, width, height);
            assert!(height == 0 || lines.len() <= height, "{lines:?}");
            assert!(lines.iter().all(|line| line.chars().count() <= width));
        }
        let lines = screenful(view, second, 80, 24);
        assert!(lines[0].starts_with("isolate-run: 42 boxes, 1 running, 0 busy; every 1 s"));
        assert!(lines[3].contains("running") && lines[4].contains("stray"));
        assert_eq!(lines[23], "… and 22 more");
        let bytes = frame(view, second, Some((Width(80), Height(24)))).unwrap();
        // No line break comes last: it would move everything up.
        assert_eq!(
            String::from_utf8(bytes).unwrap().matches("\r\n").count(),
            23
        );
    }

    #[test]
    fn who_has_had_enough_is_understood_and_other_keys_do_nothing() {
        for enough in [&b"q"[..], b"Q", b"\x03", b"\x04", b"\x1b", b"", b"xq"] {
            assert!(is_enough(enough), "{enough:?}");
        }
        for other in [&b"x"[..], b"\x1b[A", b"\x1bq", b"\r"] {
            assert!(!is_enough(other), "{other:?}");
        }
    }
}
