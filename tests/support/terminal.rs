//! A terminal with somebody before it: a pseudo-terminal, on which a run is started, typed at and read.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::unistd::Pid;

use super::{Job, patience};

/// A shell of the caller's on a terminal of its own, which starts one run.
#[derive(Debug)]
pub(crate) struct Terminal {
    master: PtyMaster,
    path: String,
    shell: Child,
    /// All that was printed,
    seen: Vec<u8>,
    /// and how much of it was expected already.
    read: usize,
}

impl Terminal {
    /// Starts the job by this script, as its `"$@"`; the terminal belongs to `uid`.
    pub(crate) fn start(job: Job, uid: u32, script: &str) -> Self {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let master = posix_openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let path = ptsname_r(&master).unwrap();
        chown(&path, Some(uid), None).unwrap();
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits());
        let slave: File = options.open(&path).unwrap();
        let mut command = job
            .through(&format!("exec setsid -c sh -c '{script}' sh \"$@\""))
            .to_command();
        command.stdin(slave.try_clone().unwrap());
        command.stdout(slave.try_clone().unwrap()).stderr(slave);
        Self {
            master,
            path,
            shell: command.spawn().unwrap(),
            seen: Vec::new(),
            read: 0,
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The PID of the shell.
    pub(crate) fn shell(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.shell.id()).unwrap())
    }

    /// Types something. Nobody may want to read it for a while.
    #[track_caller]
    pub(crate) fn type_in(&mut self, text: &str) {
        let end = Instant::now() + patience();
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match self.master.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(Instant::now() < end, "{} bytes are not read", rest.len());
                    self.look();
                    sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until this is printed after what was expected before.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        let end = Instant::now() + patience();
        loop {
            self.look();
            let new = &self.seen[self.read..];
            let found = new
                .windows(text.len())
                .position(|part| part == text.as_bytes());
            if let Some(at) = found {
                self.read += at + text.len();
                return;
            }
            let seen = String::from_utf8_lossy(&self.seen);
            assert!(Instant::now() < end, "{text:?} is not printed: {seen:?}");
            sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the shell has ended; its exit code, and all that was printed.
    #[track_caller]
    pub(crate) fn finish(mut self) -> (Option<i32>, String) {
        let end = Instant::now() + patience();
        let status = loop {
            self.look();
            if let Some(status) = self.shell.try_wait().unwrap() {
                break status;
            }
            let seen = String::from_utf8_lossy(&self.seen);
            assert!(Instant::now() < end, "the shell does not end: {seen:?}");
            sleep(Duration::from_millis(10));
        };
        self.look();
        let seen = String::from_utf8_lossy(&self.seen).into_owned();
        (status.code(), seen)
    }

    /// Goes away: the kernel hangs up. Waits for the shell.
    pub(crate) fn hang_up(self) {
        let Self {
            master, mut shell, ..
        } = self;
        drop(master);
        shell.wait().unwrap();
    }

    /// Takes what is printed.
    fn look(&mut self) {
        let mut buffer = [0; 4096];
        // At its end the terminal reports an error; before that, that there is nothing.
        while let Ok(length @ 1..) = self.master.read(&mut buffer) {
            self.seen.extend_from_slice(&buffer[..length]);
        }
    }
}
