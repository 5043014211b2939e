//! The Debian package `isolate-run` on the machine that the tests run on.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::must;
use crate::support::finish;

/// The package as a file, which `tests/guest/suite` has installed.
pub(crate) fn file() -> Option<PathBuf> {
    std::env::var_os("ISOLATE_TEST_PACKAGE").map(PathBuf::from)
}

/// Installs the package, again if it is there.
pub(crate) fn install() {
    let file = file().expect("ISOLATE_TEST_PACKAGE names the package: tests/run");
    must("dpkg", &["--install".as_ref(), file.as_os_str()]);
}

/// The package of rpm, which lies beside the other one in guests that have rpm.
pub(crate) fn rpm() -> PathBuf {
    let file = file().expect("ISOLATE_TEST_PACKAGE names the package: tests/run");
    file.with_extension("rpm")
}

/// Starts a command whose program prints a line, `begun`, and waits for it.
pub(crate) fn begun(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut run = command.spawn().unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(run.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    run.stdout = Some(said.into_inner());
    run
}

/// Whether the package is installed.
pub(crate) fn is_installed() -> bool {
    let mut command = Command::new("dpkg-query");
    command.args(["--show", "--showformat=${db:Status-Status}", "isolate-run"]);
    finish(command).stdout == "installed"
}

/// A package that was taken away, so that `install` may be tried. It comes back when this is dropped.
#[derive(Debug)]
pub(crate) struct Aside {
    was_installed: bool,
}

impl Aside {
    /// Takes the package away, if it is there; its configuration stays.
    pub(crate) fn take() -> Self {
        let was_installed = is_installed();
        if was_installed {
            must("dpkg", &["--remove", "isolate-run"]);
        }
        Self { was_installed }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if self.was_installed {
            install();
        }
    }
}
