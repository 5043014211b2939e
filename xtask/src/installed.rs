//! What is installed on this machine, whoever brought it and whatever its distribution is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::orders::Orders;
use crate::payload::must;
use crate::stages::Run;

/// Where a package puts the program, and where `./install` does.
const PLACES: [&str; 2] = ["/usr/bin/isolate-run", "/usr/local/bin/isolate-run"];

/// The tests' users.
const USERS: [(&str, u32); 2] = [("alice", 1000), ("bob", 1001)];

/// The program that is installed here, of the version of this clone.
///
/// # Errors
///
/// There is none, or it is of another version: its tests are others.
pub(crate) fn program(top: &Path) -> io::Result<PathBuf> {
    let found = PLACES.into_iter().find(|place| Path::new(place).exists());
    let missing = "--installed: there is no isolate-run in /usr/bin or /usr/local/bin; install a package first";
    let found = found.ok_or_else(|| io::Error::other(missing))?;
    let said = must(Command::new(found).arg("--version"))?;
    let version = said.lines().next().unwrap_or_default();
    let manifest = fs::read_to_string(top.join("Cargo.toml"))?;
    let own = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = "))
        .unwrap_or_default()
        .trim_matches('"');
    if version.split_whitespace().any(|word| word == own) {
        Ok(found.into())
    } else {
        let problem = format!(
            "--installed: {found} says '{version}', and this clone has the tests of {own}; check that version out"
        );
        Err(io::Error::other(problem))
    }
}

/// The users that had to be made. They go when this is dropped.
#[derive(Debug)]
pub(crate) struct Users(Vec<&'static str>);

impl Users {
    /// Makes those that are not here.
    ///
    /// # Errors
    ///
    /// Their name or number is somebody else's: tests would act as them.
    pub(crate) fn make() -> io::Result<Self> {
        let mut made = Self(Vec::new());
        for (name, uid) in USERS {
            let number = uid.to_string();
            let entry = |key: &str| must(Command::new("getent").args(["passwd", key]));
            match [entry(name), entry(&number)] {
                [Err(_), Err(_)] => {
                    let mut command = Command::new("useradd");
                    command.args(["--create-home", "--user-group", "--uid", &number, name]);
                    must(&mut command)?;
                    made.0.push(name);
                }
                [Ok(ours), Ok(other)] if ours == other => {}
                _ => {
                    let problem = format!(
                        "--installed: tests act as the user {name} with uid {uid}, and one of the two is another's here; \
                         take a machine where both are free, or a container"
                    );
                    return Err(io::Error::other(problem));
                }
            }
        }
        // bob is not let in.
        must(Command::new("usermod").args(["-aG", "isolate", USERS[0].0]))?;
        Ok(made)
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        for name in &self.0 {
            if let Err(error) = must(Command::new("userdel").args(["--remove", name])) {
                eprintln!("{error}");
            }
        }
    }
}

/// What a reader of a report wants to know first.
pub(crate) fn machine(program: &Path) -> String {
    let first = |mut command: Command| {
        let said = must(&mut command).unwrap_or_default();
        said.lines().next().unwrap_or_default().to_owned()
    };
    let words = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args);
        first(command)
    };
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = system
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("unknown")
        .trim_matches('"');
    format!(
        "{} at {}; {name}; {}; Linux {} {}",
        words(&program.to_string_lossy(), &["--version"]),
        program.display(),
        words("systemctl", &["--version"]),
        words("uname", &["-r"]),
        words("uname", &["-m"]),
    )
}

impl Run {
    /// The tests with what is installed here.
    pub(crate) fn installed(&self, payload: &Path) {
        let part = "installed";
        let program = match program(&self.top) {
            Ok(program) => program,
            Err(error) => return self.failure(part, "here", &error.to_string()),
        };
        self.screen.line(part, &machine(&program));
        let users = match Users::make() {
            Ok(users) => users,
            Err(error) => return self.failure(part, "here", &error.to_string()),
        };
        let assignment = format!("SUITE_PROGRAM={}", program.display());
        let left_out = ["languages", "engines", "not_installed"];
        self.all_on_this_machine(part, payload, Some(&assignment), &left_out);
        drop(users);
    }
}

/// Whether this machine can have the parts that run on it.
///
/// # Errors
///
/// What is missing.
pub(crate) fn check(orders: &Orders, top: &Path) -> io::Result<()> {
    let first = fs::read_to_string("/proc/1/comm").unwrap_or_default();
    if first.trim() != "systemd" {
        let problem = "--here, --installed: systemd is not process 1 of this machine";
        return Err(io::Error::other(problem));
    }
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    let controllers = controllers.unwrap_or_default();
    let has = |name| controllers.split_whitespace().any(|other| other == name);
    if !(has("memory") && has("pids")) {
        let problem = "--here, --installed: /sys/fs/cgroup is not a cgroup v2 tree with the memory and pids controllers";
        return Err(io::Error::other(problem));
    }
    if orders.installed {
        program(top)?;
    }
    Ok(())
}
