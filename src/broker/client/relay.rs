//! The time while the broker's side works: signals go there, log lines and the answer come back,
//! and a terminal's data is passed on.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::SignalFd;

use super::terminal::Terminal;
use crate::answer::{Answer, Results};
use crate::broker::reply::Reply;
use crate::broker::wire::receive_reply;
use crate::caller::Line;
use crate::failure::Failure;
use crate::keeper::watch;
use crate::output::write_all;
use crate::sys::descriptors::put_on_input_and_output;
use crate::sys::poll::{self, Until, readable, writable};

/// Takes over the signals that end a run, and that of a terminal that has changed its size.
pub(super) fn take_over_signals() -> Result<SignalFd, Failure> {
    watch(&[Signal::SIGWINCH]).map_err(Failure::at("cannot take over the signals of this process"))
}

/// The conversation after the request.
pub(super) struct Relay<'a> {
    connection: OwnedFd,
    /// The signals of a run. Without a run, signals end this process like any program.
    signals: Option<SignalFd>,
    terminal: Option<&'a Terminal>,
    /// The last signal that was passed on.
    passed_on: Option<i32>,
}

/// What there is to attend to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Reply,
    Signals,
    Typed,
    Taking,
    Printed,
}

impl<'a> Relay<'a> {
    /// Begins after a request was sent.
    pub(super) fn new(
        connection: OwnedFd,
        signals: Option<SignalFd>,
        terminal: Option<&'a Terminal>,
    ) -> Result<Self, Failure> {
        if signals.is_some() {
            // Our copies would keep pipes open whose end somebody waits for.
            let null = File::options().read(true).write(true).open("/dev/null");
            let null = null.map_err(Failure::at("cannot open /dev/null"))?;
            let let_go = Failure::at("cannot put /dev/null in the place of the program's streams");
            put_on_input_and_output(null.as_fd()).map_err(let_go)?;
        }
        Ok(Self {
            connection,
            signals,
            terminal,
            passed_on: None,
        })
    }

    /// Goes on until the answer is there.
    pub(super) fn run(mut self) -> Result<(Answer, Results), Failure> {
        loop {
            match self.wait()? {
                Source::Reply => {
                    let Some(reply) = receive_reply(self.connection.as_fd())? else {
                        return Err(self.lost());
                    };
                    match reply {
                        // A message that cannot be written cannot be reported either.
                        Reply::Log(line) => drop(write_all(io::stderr(), line.as_bytes())),
                        Reply::Done(answer, results) => {
                            self.show_rest();
                            return Ok((answer, results));
                        }
                        Reply::Failed(message) => {
                            self.show_rest();
                            return Err(Failure::new(message));
                        }
                        // It was put together.
                        Reply::Part(_) => {}
                    }
                }
                Source::Signals => self.pass_signal_on()?,
                Source::Typed => self.with_terminal(Terminal::pass_typed_on),
                Source::Taking => self.with_terminal(Terminal::pass_rest_on),
                Source::Printed => self.with_terminal(|terminal| {
                    terminal.show_printed();
                }),
            }
        }
    }

    fn wait(&self) -> Result<Source, Failure> {
        let terminal = self.terminal;
        let sources = [
            (Source::Reply, readable(self.connection.as_fd())),
            (
                Source::Signals,
                readable(self.signals.as_ref().map(AsFd::as_fd)),
            ),
            (Source::Printed, readable(terminal.map(Terminal::printed))),
            (Source::Typed, readable(terminal.and_then(Terminal::typed))),
            (
                Source::Taking,
                writable(terminal.and_then(Terminal::taking)),
            ),
        ];
        loop {
            let ready = poll::first(sources, Until::Forever);
            if let Some(source) = ready.map_err(Failure::at("cannot wait for the broker"))? {
                return Ok(source);
            }
        }
    }

    fn pass_signal_on(&mut self) -> Result<(), Failure> {
        let Some(signals) = &self.signals else {
            return Ok(());
        };
        let signal = signals
            .read_signal()
            .map_err(Failure::at("cannot read signals"))?;
        let Some(number) = signal.map(|signal| signal.ssi_signo as i32) else {
            return Ok(());
        };
        if number == libc::SIGWINCH {
            self.with_terminal(Terminal::resize);
            return Ok(());
        }
        self.passed_on = Some(number);
        // If the other side is gone, the end of the connection shows it.
        Line::send(self.connection.as_fd(), number).ok();
        Ok(())
    }

    fn with_terminal(&self, action: impl FnOnce(&Terminal)) {
        if let Some(terminal) = self.terminal {
            action(terminal);
        }
    }

    /// Shows what the program printed last, which may arrive after the news of its end.
    fn show_rest(&self) {
        if let Some(terminal) = self.terminal {
            while terminal.show_printed() {}
        }
    }

    /// The failure when the connection ended without an answer.
    fn lost(&self) -> Failure {
        if let Some(signal) = self
            .passed_on
            .and_then(|number| Signal::try_from(number).ok())
        {
            // The other side was ended before the run began, as root's own process would have been.
            if let Some(terminal) = self.terminal {
                terminal.give_back();
            }
            SigSet::empty().thread_set_mask().ok();
            raise(signal).ok();
        }
        Failure::new(
            "the broker's process for this request ended without an answer, and what it ran with it: \
             see journalctl --unit isolate.service",
        )
    }
}
