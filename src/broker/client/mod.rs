//! The caller's own process: it opens what they named, asks the broker, passes their signals on,
//! and receives the answer.

pub(crate) mod errand;
mod relay;
pub(crate) mod series;
mod terminal;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::protocol::{Called, variables, words};
use super::wire::{WireError, send_request};
use super::{SOCKET, SOCKET_VARIABLE, of_root};
use crate::answer::{Answer, Results};
use crate::caller::Caller;
use crate::caller::Inheritance;
use crate::caller::OpenedDirs;
use crate::clock::Moment;
use crate::failure::Failure;
use crate::request::{BoxCall, EnvRule, ProgramRequest};
use crate::sys::descriptors::take_over;
use crate::sys::process::inheritable_descriptors;
use relay::Relay;
use terminal::Terminal;

/// Lets the broker carry out a command.
pub(crate) fn ask(
    call: &BoxCall,
    caller: Caller,
    asked: Moment,
) -> Result<(Answer, Results), Failure> {
    if let Some(refusal) = of_root(&call.common) {
        return Err(refusal);
    }
    let connection = connect_to_broker()?;
    let (directories, opened) = OpenedDirs::open(call.command.dirs(), caller)?.into_parts();
    let program = call.command.program().map(|(_, program)| program);
    let terminal = match program.is_some_and(|program| program.tty_hack) {
        true => Terminal::open().map_err(Failure::at("cannot make a terminal for the program"))?,
        false => None,
    };
    let inherited = match program.is_some_and(|program| program.inherit_fds) {
        true => inheritable(),
        false => Ok(Vec::new()),
    };
    let inherited = inherited.map_err(Failure::at("cannot list the open descriptors"))?;
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let standard = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let standard = match &terminal {
        Some(terminal) => standard.map(|descriptor| terminal.instead_of(descriptor)),
        None => standard,
    };
    // This comes first: from here on a signal must end the run in good order.
    let signals = program.map(|_| relay::take_over_signals());
    let signals = signals.transpose()?;
    let put = Put {
        argv: std::env::args_os().collect(),
        environment: program.map(needed_environment).unwrap_or_default(),
        asked,
        standard,
        inherited: &inherited,
        directories,
        opened: &opened,
        interactive: somebody_is_there(),
        of_batch: false,
        renews: false,
    };
    put.over(connection.as_fd())?;
    drop((opened, inherited));
    let relay = Relay::new(connection, signals, terminal.as_ref())?;
    relay.run()
}

/// A call, as it is sent to the process that carries it out.
#[derive(Debug)]
pub(crate) struct Put<'a> {
    /// The command line.
    pub(crate) argv: Vec<OsString>,
    /// The part of the environment that the command line names.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// When it was asked for.
    pub(crate) asked: Moment,
    /// The program's standard descriptors.
    pub(crate) standard: [BorrowedFd<'a>; 3],
    /// Further ones that it inherits, with their numbers, which rise.
    pub(crate) inherited: &'a [(i32, OwnedFd)],
    /// For each directory that the command line names: 0, or why it was not opened (errno).
    pub(crate) directories: Vec<i32>,
    /// The directories that were opened.
    pub(crate) opened: &'a [OwnedFd],
    /// Whether there is somebody who can be asked for a password.
    pub(crate) interactive: bool,
    /// Whether it is one of a batch's.
    pub(crate) of_batch: bool,
    /// Whether its box is made anew after the run.
    pub(crate) renews: bool,
}

impl Put<'_> {
    /// Sends it over a connection.
    pub(crate) fn over(self, connection: BorrowedFd<'_>) -> Result<(), Failure> {
        let inheritance = Inheritance::of_process();
        let called = Called {
            argv: words(self.argv),
            environment: variables(self.environment),
            asked: self.asked.to_nanoseconds(),
            inherited: self.inherited.iter().map(|(number, _)| *number).collect(),
            directories: self.directories,
            inheritance: inheritance
                .map_err(Failure::at("cannot find out this process's limits"))?,
            interactive: self.interactive,
            of_batch: self.of_batch,
            renews: self.renews,
        };
        let inherited = self.inherited.iter();
        let all: Vec<BorrowedFd<'_>> = self
            .standard
            .into_iter()
            .chain(inherited.map(|(_, descriptor)| descriptor.as_fd()))
            .chain(self.opened.iter().map(AsFd::as_fd))
            .collect();
        match send_request(connection, &called.to_bytes()?, &all) {
            // A refusal may come before the whole request was read, and says why.
            Ok(()) | Err(WireError::Gone) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Takes the descriptors above 2 that a program inherits, with their numbers. Those that this
/// process has opened itself are closed on exec, and so are not among them. Copies could exceed the
/// limit of the caller.
fn inheritable() -> io::Result<Vec<(i32, OwnedFd)>> {
    let mut numbers = inheritable_descriptors()?;
    numbers.sort_unstable();
    let own = |number| Ok((number, take_over(number)?));
    numbers.into_iter().map(own).collect()
}

/// Connects to the broker.
pub(crate) fn connect_to_broker() -> Result<OwnedFd, Failure> {
    let path = std::env::var_os(SOCKET_VARIABLE).map_or_else(|| SOCKET.into(), PathBuf::from);
    let connected = || -> nix::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(&path)?)?;
        Ok(socket)
    };
    connected().map_err(|errno| {
        let remedy = match errno {
            Errno::ENOENT | Errno::ECONNREFUSED => {
                ": install isolate-run as a service, and start it by: systemctl enable --now isolate.socket"
            }
            Errno::EACCES => ": see isolate-run doctor --only broker, as root",
            _ => "",
        };
        Failure::new(format!(
            "Must be started as root, or have the broker running: cannot connect to {}: {}{remedy}",
            path.display(),
            errno.desc()
        ))
    })
}

/// The part of the environment that the command line names.
pub(crate) fn needed_environment(program: &ProgramRequest) -> Vec<(OsString, OsString)> {
    let inherits = |name: &OsString| {
        let rules = program.env.iter();
        rules
            .into_iter()
            .any(|rule| matches!(rule, EnvRule::Inherit(known) if known == name))
    };
    std::env::vars_os()
        .filter(|(name, _)| program.full_env || inherits(name))
        .collect()
}

/// Whether a person at a terminal can be asked for a password. A service would wait for ever.
fn somebody_is_there() -> bool {
    use std::io::IsTerminal;
    io::stdin().is_terminal() && io::stderr().is_terminal()
}
