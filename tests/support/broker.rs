//! A broker of one test's own, and commands of users who come by it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{binary, children_of, wait_until};

/// A user of the guests who is in the group `isolate`.
pub(crate) const ALICE: u32 = 1000;
/// One who is not.
pub(crate) const BOB: u32 = 1001;
/// The name of a keeper that stands by.
const SPARE: &str = "isolate-spare";

/// A broker that serves with one configuration, ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    process: Child,
    socket: PathBuf,
}

impl Broker {
    /// Starts one in this directory, which everybody may enter.
    pub(crate) fn start(dir: &Path, config: &Path) -> Self {
        let socket = dir.join("broker.sock");
        let mut command = Command::new(binary());
        command.arg("broker").arg("--socket").arg(&socket);
        command.arg("--config").arg(config).stdin(Stdio::null());
        let process = command.spawn().unwrap();
        // It is everybody's a moment after it is there.
        wait_until("the broker listens", || {
            fs::metadata(&socket).is_ok_and(|found| found.permissions().mode() & 0o777 == 0o666)
        });
        Self { process, socket }
    }

    /// The PID of its own process.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap()
    }

    /// The PIDs of its keepers: one for each request under way. The one that stands by for the next is not among them.
    pub(crate) fn keepers(&self) -> Vec<i32> {
        self.children(|name| name != SPARE)
    }

    /// Those of its children that stand by for the next request: at most one.
    pub(crate) fn spares(&self) -> Vec<i32> {
        self.children(|name| name == SPARE)
    }

    fn children(&self, is_one: impl Fn(&str) -> bool) -> Vec<i32> {
        let name = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let children = children_of(self.pid()).into_iter();
        children
            .filter(|pid| is_one(name(pid).trim_end()))
            .collect()
    }

    /// Sends a signal to its own process.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// The program under test, called by this user of the machine, with their groups.
    pub(crate) fn command(&self, uid: u32) -> Command {
        self.program(uid, binary())
    }

    /// Any program, called by this user, that finds this broker.
    pub(crate) fn program(&self, uid: u32, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={uid}"))
            .arg(format!("--regid={uid}"));
        command.args(["--init-groups", "--"]).arg(program);
        command.env("ISOLATE_RUN_BROKER", &self.socket);
        command
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Ends it, as systemd does.
    pub(crate) fn stop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            kill(Pid::from_raw(self.pid()), Signal::SIGTERM).unwrap();
            self.process.wait().unwrap();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}
