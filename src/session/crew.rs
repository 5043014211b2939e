//! Processes of this program that carry single calls out.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;

use nix::fcntl::OFlag;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::SignalFd;
use nix::sys::stat::Mode;
use nix::unistd::pipe2;

use crate::failure::Failure;
use crate::keeper::watch;
use crate::sys::poll::{self, Until, readable};
use crate::sys::process::{Exit, pidfd_of, send_signal, wait_for};

/// How much is copied between two looks at the signals, in bytes.
const AT_A_TIME: u64 = 16 << 20;
/// The same of what is no file: what a pipe holds.
const OF_A_PIPE: usize = 64 << 10;

/// This program, to be started again and again, and the signals that are passed on to it.
pub(super) struct Crew {
    signals: SignalFd,
    environment: Vec<CString>,
    name: CString,
    interrupted: std::cell::Cell<bool>,
}

/// Copies what one read(2) gives, which does not wait where something can be read; 0 is the end.
fn copy_what_is_there(mut from: &File, buffer: &mut [u8], to: &mut File) -> io::Result<u64> {
    let length = from.read(buffer)?;
    to.write_all(&buffer[..length])?;
    Ok(length as u64)
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With this exit code.
    Code(u8),
    /// By this signal.
    Signal(i32),
}

impl Outcome {
    /// The exit code, as a shell tells it.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

/// The streams of a call that are not those of this process.
#[derive(Default)]
pub(super) struct Streams<'a> {
    pub(super) stdin: Option<&'a Input>,
    pub(super) stdout: Option<&'a OwnedFd>,
    /// Whether nobody is to see what the program prints.
    pub(super) is_quiet: bool,
}

/// What is to be read from standard input by every run.
pub(super) struct Input(File, u64);

impl Input {
    /// Keeps what is left of standard input: a file as it is, and what comes from a pipe. Nobody
    /// types the same again.
    pub(super) fn keep(crew: &Crew) -> Result<Self, Failure> {
        let failed = Failure::at("cannot keep standard input for all runs");
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Ok(Self(File::open("/dev/null").map_err(&failed)?, 0));
        }
        let copy = stdin.as_fd().try_clone_to_owned().map_err(&failed)?;
        let mut copy = File::from(copy);
        if copy.metadata().is_ok_and(|meta| meta.is_file()) {
            let start = copy.stream_position().map_err(&failed)?;
            return Ok(Self(copy, start));
        }
        let kept = memfd_create(c"input", MFdFlags::MFD_CLOEXEC);
        let mut kept = File::from(kept.map_err(Failure::at("cannot keep standard input"))?);
        crew.copy(&mut copy, &mut kept).map_err(&failed)?;
        Ok(Self(kept, 0))
    }

    /// Goes back to where it began.
    pub(super) fn rewind(&self) -> Result<(), Failure> {
        let sought = (&self.0).seek(SeekFrom::Start(self.1));
        // /dev/null, for which the place does not matter.
        sought
            .map(drop)
            .or_else(|error| match error.raw_os_error() {
                Some(libc::ESPIPE) => Ok(()),
                _ => Err(Failure::at("cannot read standard input again")(error)),
            })
    }
}

/// The end of a pipe from which all is read when its writers are gone.
pub(super) struct Reader(File);

impl Reader {
    /// A pipe, with the end for a call.
    pub(super) fn new() -> Result<(Self, OwnedFd), Failure> {
        let pipe = pipe2(OFlag::O_CLOEXEC).map_err(Failure::at("cannot make a pipe"))?;
        Ok((Self(File::from(pipe.0)), pipe.1))
    }

    /// What was written.
    pub(super) fn text(mut self) -> Result<String, Failure> {
        let mut text = String::new();
        let read = self.0.read_to_string(&mut text);
        read.map_err(Failure::at("cannot read the result of a call"))?;
        Ok(text)
    }
}

/// The number that a descriptor has in a call, too.
pub(super) fn number(descriptor: &OwnedFd) -> RawFd {
    descriptor.as_raw_fd()
}

impl Crew {
    /// From here on signals are passed on, and end nothing here.
    pub(super) fn gather() -> Result<Self, Failure> {
        let signals = watch(&[]);
        let variables = std::env::vars_os().filter_map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            CString::new(name.into_vec()).ok()
        });
        let name = std::env::args_os().next().unwrap_or_default();
        Ok(Self {
            signals: signals
                .map_err(Failure::at("cannot take over the signals of this process"))?,
            environment: variables.collect(),
            name: CString::new(name.into_vec()).unwrap_or_default(),
            interrupted: std::cell::Cell::new(false),
        })
    }

    /// Whether a signal was passed on.
    pub(super) fn was_interrupted(&self) -> bool {
        self.interrupted.get()
    }

    /// Copies all that comes. A signal ends that, whatever is waited for or however much there is.
    pub(super) fn copy(&self, from: &mut File, to: &mut File) -> io::Result<()> {
        // What is no file has no more than it has said: to ask for more would wait.
        let is_file = from.metadata()?.is_file();
        let mut buffer = vec![0; if is_file { 0 } else { OF_A_PIPE }];
        loop {
            let sources = [
                (true, readable(self.signals.as_fd())),
                (false, readable(from.as_fd())),
            ];
            match poll::first(sources, Until::Forever)? {
                Some(true) => {
                    self.take_signal();
                    return Err(io::Error::other("interrupted"));
                }
                Some(false) => {
                    let copied = if is_file {
                        io::copy(&mut (&*from).take(AT_A_TIME), to)
                    } else {
                        copy_what_is_there(from, &mut buffer, to)
                    };
                    match copied {
                        Ok(0) => return Ok(()),
                        Ok(_) => {}
                        // Somebody else was faster.
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                None => {}
            }
        }
    }

    /// Carries a call out; `handed` is open there, too.
    pub(super) fn call(
        &self,
        words: impl IntoIterator<Item = OsString>,
        streams: Streams<'_>,
        handed: Option<&OwnedFd>,
    ) -> Result<Outcome, Failure> {
        let argv = words.into_iter().map(|word| CString::new(word.into_vec()));
        let argv: Result<Vec<_>, _> = std::iter::once(Ok(self.name.clone())).chain(argv).collect();
        let argv = argv.map_err(|_| Failure::new("a word of the command line has a NUL in it"))?;
        let pid = self.start(&argv, &streams, handed);
        let pid = pid.map_err(Failure::at(
            "cannot start isolate-run for a part of the work",
        ))?;
        let failed = Failure::at("cannot wait for a part of the work");
        let pidfd = pidfd_of(pid.as_raw()).map_err(&failed)?;
        loop {
            let sources = [
                (true, readable(pidfd.as_fd())),
                (false, readable(self.signals.as_fd())),
            ];
            match poll::first(sources, Until::Forever).map_err(&failed)? {
                Some(true) => break,
                Some(false) => self.pass_on(&pidfd),
                None => {}
            }
        }
        match wait_for(pidfd.as_fd()).map_err(&failed)? {
            Exit::Code(code) => Ok(Outcome::Code(u8::try_from(code).unwrap_or(u8::MAX))),
            Exit::Signal(signal) => Ok(Outcome::Signal(signal)),
        }
    }

    fn start(
        &self,
        argv: &[CString],
        streams: &Streams<'_>,
        handed: Option<&OwnedFd>,
    ) -> nix::Result<nix::unistd::Pid> {
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
        attributes.set_sigmask(&SigSet::empty())?;
        let mut actions = PosixSpawnFileActions::init()?;
        if let Some(Input(file, _)) = streams.stdin {
            actions.add_dup2(file.as_raw_fd(), libc::STDIN_FILENO)?;
        }
        if let Some(stdout) = streams.stdout {
            actions.add_dup2(stdout.as_raw_fd(), libc::STDOUT_FILENO)?;
        }
        if streams.is_quiet {
            let (flags, mode) = (OFlag::O_WRONLY, Mode::empty());
            actions.add_open(libc::STDOUT_FILENO, "/dev/null", flags, mode)?;
            actions.add_open(libc::STDERR_FILENO, "/dev/null", flags, mode)?;
        }
        if let Some(handed) = handed {
            // Onto itself: it stays open when the program is executed.
            actions.add_dup2(handed.as_raw_fd(), handed.as_raw_fd())?;
        }
        posix_spawn(
            c"/proc/self/exe",
            &actions,
            &attributes,
            argv,
            &self.environment,
        )
    }

    fn pass_on(&self, pidfd: &OwnedFd) {
        if let Some(signal) = self.take_signal() {
            // One that has ended meanwhile needs none.
            drop(send_signal(pidfd.as_fd(), signal));
        }
    }

    fn take_signal(&self) -> Option<i32> {
        let signal = self.signals.read_signal().ok()??;
        self.interrupted.set(true);
        Some(signal.ssi_signo as i32)
    }
}
