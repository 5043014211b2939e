//! `container-init`: the first process of a container. It makes the container's cgroup ready before
//! anything else runs there, so that no run has to move other people's processes, and then does
//! what every first process does: it reaps, passes signals on, and ends with its program.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, execvp, getpid, setpgid, tcsetpgrp};

use crate::answer::Answer;
use crate::cgroup::{Place, make_ready};
use crate::config::settings::{CgroupSettings, Manager};
use crate::config::{self, ConfigSource};
use crate::failure::Failure;
use crate::home::find_place;
use crate::logging;
use crate::output::write_all;
use crate::remedy::Remedy;
use crate::request::ContainerInit;
use crate::sys::poll::{self, Until, readable};
use crate::sys::process::{
    Cloned, Exit, Wait, Waited, clone, exit_now, pidfd_of, send_signal, wait_any,
};
use crate::sys::signals::reset_signal_dispositions;

/// The exit code when nothing was started: that of env(1), timeout(1) and of container engines.
pub(crate) const EXIT_NOT_READY: u8 = 125;

/// Signals that are about this process itself, and not for the program.
const OWN: [Signal; 9] = [
    Signal::SIGABRT,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGSEGV,
    Signal::SIGSYS,
    Signal::SIGTRAP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// Makes the cgroup ready, runs the program to its end, and answers with its exit code.
pub(crate) fn container_init(asked: ContainerInit) -> Result<Answer, Failure> {
    logging::start(asked.verbosity);
    let source = ConfigSource::new(asked.config.as_deref());
    prepare(&config::load(&source)?.settings.cgroup)?;
    let words = asked.command.into_iter().map(OsString::into_vec);
    let words = words.map(CString::new).collect::<Result<Vec<_>, _>>();
    let words = words.map_err(Failure::at("cannot read the command line"))?;
    let program = Program::start(&words)?;
    let exit = program.watch().map_err(Failure::at(
        "cannot wait for the processes of this container",
    ))?;
    let code = match exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => 128 + signal,
    };
    log::info!("the program has ended with {code}");
    if getpid().as_raw() != 1 {
        kill_the_rest().map_err(Failure::at("cannot end what the program left behind"))?;
    }
    Ok(Answer {
        code: u8::try_from(code).unwrap_or(EXIT_NOT_READY),
        ..Answer::default()
    })
}

/// Makes the cgroup ready to have those of runs below it.
fn prepare(settings: &CgroupSettings) -> Result<(), Failure> {
    match find_place(settings)? {
        Place::Delegated { root, has_memory } => {
            let enabled = make_ready(&root)?;
            let (root, enabled) = (root.display(), enabled.join(" "));
            log::info!("the cgroup {root} is ready; enabled there: {enabled}");
            if !has_memory {
                let line = format!(
                    "isolate-run: container-init: the cgroup {root} has no memory controller, so that --cg will be \
                     refused: {}\n",
                    Remedy::EnableMemory
                );
                // Whoever reads it or not: what runs without --cg can do without.
                write_all(io::stderr(), line.as_bytes()).ok();
            }
            Ok(())
        }
        Place::Systemd { .. } => Err(Failure::new(
            "container-init: systemd runs here, and makes the cgroups of runs itself; start it as the first process of \
             this container, and the program as a service of it",
        )),
        Place::Nowhere { .. } if settings.manager == Manager::None => Ok(()),
        Place::Nowhere { reason } => Err(Failure::new(format!(
            "container-init: no cgroup can be made ready: {reason}; or set [cgroup] manager = \"none\" to do without"
        ))),
    }
}

/// The program of the container.
struct Program {
    pid: i32,
    pidfd: OwnedFd,
    signals: SignalFd,
}

impl Program {
    fn start(words: &[CString]) -> Result<Self, Failure> {
        let mut heard = SigSet::all();
        OWN.into_iter().for_each(|signal| heard.remove(signal));
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = heard
            .thread_block()
            .and_then(|()| SignalFd::with_flags(&heard, flags))
            .map_err(Failure::at("cannot take over the signals"))?;
        // Where it is not the first process, those that lose their parents come to it all the same.
        nix::sys::prctl::set_child_subreaper(true)
            .map_err(Failure::at("cannot become the parent of orphans"))?;
        match clone(0, None).map_err(Failure::at("cannot make the program's process"))? {
            Cloned::Child => execute(words),
            Cloned::Parent { pid, pidfd } => Ok(Self {
                pid,
                pidfd,
                signals,
            }),
        }
    }

    /// Passes signals on and reaps until the program has ended.
    fn watch(&self) -> io::Result<Exit> {
        loop {
            poll::first([((), readable(self.signals.as_fd()))], Until::Forever)?;
            while let Some(info) = self.signals.read_signal()? {
                let number = info.ssi_signo as i32;
                if number != Signal::SIGCHLD as i32 {
                    log::info!("signal {number} is passed on");
                    // It may have ended meanwhile.
                    send_signal(self.pidfd.as_fd(), number).ok();
                }
            }
            while let Waited::Ended(pid, exit) = wait_any(Wait::Look)? {
                if pid == self.pid {
                    return Ok(exit);
                }
                log::debug!("process {pid} is reaped");
            }
        }
    }
}

/// The program's side of the clone.
fn execute(words: &[CString]) -> ! {
    let Err(errno) = become_program(words);
    let name = words.first().map(|name| name.to_string_lossy());
    let line = format!(
        "isolate-run: container-init: cannot run '{}': {}\n",
        name.unwrap_or_default(),
        errno.desc()
    );
    write_all(io::stderr(), line.as_bytes()).ok();
    exit_now(if errno == Errno::ENOENT { 127 } else { 126 })
}

/// The program gets a process group of its own, which has the terminal if there is one: a key must
/// not reach it twice.
fn become_program(words: &[CString]) -> nix::Result<Infallible> {
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    // Otherwise SIGTTOU would stop this process, which is in the background.
    SigSet::all().thread_block()?;
    match tcsetpgrp(io::stdin(), getpid()) {
        Err(Errno::ENOTTY | Errno::EBADF | Errno::EPERM) | Ok(()) => {}
        Err(errno) => return Err(errno),
    }
    reset_signal_dispositions();
    SigSet::empty().thread_set_mask()?;
    let name = words.first().ok_or(Errno::ENOENT)?;
    execvp(name, words)
}

/// Ends what the program has left. The kernel does this when the first process of a PID namespace
/// ends, but here is another one.
fn kill_the_rest() -> io::Result<()> {
    loop {
        let children = std::fs::read_to_string("/proc/thread-self/children")?;
        for pid in children
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok())
        {
            // One that is gone is waited for below.
            if let Ok(pidfd) = pidfd_of(pid) {
                send_signal(pidfd.as_fd(), libc::SIGKILL).ok();
            }
        }
        // The children of each come to this process when it ends.
        if wait_any(Wait::Block)? == Waited::NoChild {
            return Ok(());
        }
    }
}
