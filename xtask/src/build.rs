//! Builds the program and the test binaries, once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::job;
use crate::screen::Screen;

/// What cargo built.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Built {
    /// `isolate-run` itself, where a test needs it.
    pub(crate) program: Option<PathBuf>,
    /// The same as it is shipped, but with the checks of a debug build, for whole parts: it takes half the time of a debug build.
    pub(crate) checked: Option<PathBuf>,
    /// The same with a switch for its barriers, for the test of these.
    pub(crate) weakened: Option<PathBuf>,
    /// The worker of a fleet, where a test needs it.
    pub(crate) worker: Option<PathBuf>,
    /// Name and path of each test binary.
    pub(crate) tests: Vec<(String, PathBuf)>,
}

impl Built {
    pub(crate) fn test(&self, name: &str) -> Option<&Path> {
        let found = self.tests.iter().find(|(other, _)| other == name);
        found.map(|(_, path)| path.as_path())
    }
}

/// A cargo command in the folder `top`, with the options for what all of it has in common.
pub(crate) fn cargo(top: &Path, subcommand: &[&str], common: &[String]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(top).args(subcommand).args(common);
    command.arg("--locked");
    command
}

/// The same to build something of which the messages tell where it is.
fn building(top: &Path, subcommand: &[&str], common: &[String], which: &[&str]) -> Command {
    let mut command = cargo(top, subcommand, common);
    command.args(["--quiet", "--message-format=json-render-diagnostics"]);
    command.args(which);
    command
}

/// Builds these test binaries, by the names of their targets, or all there are and this runner's own.
///
/// # Errors
///
/// Cargo cannot be run, or the crate does not build: what the compiler had to say has been said.
pub(crate) fn build(
    screen: &Screen,
    top: &Path,
    work: &Path,
    common: &[String],
    binaries: Option<&[&str]>,
) -> io::Result<Built> {
    let mut command = building(top, &["test", "--no-run"], common, &[]);
    match binaries {
        None => drop(command.arg("--workspace")),
        Some(names) => {
            for name in names {
                match *name {
                    "isolate_run" => command.arg("--lib"),
                    other => command.args(["--test", other]),
                };
            }
        }
    }
    let built = executables(screen, work, "build", &mut command)?;
    if built.tests.is_empty() {
        return Err(io::Error::other("cargo built no test"));
    }
    Ok(built)
}

/// Builds the program as it is shipped, but with the checks of a debug build.
///
/// # Errors
///
/// As [`build`].
pub(crate) fn checked(
    screen: &Screen,
    top: &Path,
    work: &Path,
    common: &[String],
) -> io::Result<PathBuf> {
    let which = ["--profile", "checked", "--bin", "isolate-run"];
    let mut command = building(top, &["build"], common, &which);
    let built = executables(screen, work, "checked", &mut command)?;
    let missing = || io::Error::other("cargo built no isolate-run");
    built.program.ok_or_else(missing)
}

/// Builds the program from which a test takes barriers away: another one, beside the first. Of the whole workspace, so that
/// its dependencies are those that were built before, with the same features.
///
/// # Errors
///
/// As [`build`].
pub(crate) fn weakened(
    screen: &Screen,
    top: &Path,
    work: &Path,
    common: &[String],
) -> io::Result<PathBuf> {
    let which = [
        "--workspace",
        "--features",
        "isolate-run/weakened",
        "--bin",
        "isolate-run-weakened",
    ];
    let mut command = building(top, &["build"], common, &which);
    let built = executables(screen, work, "weakened", &mut command)?;
    let missing = || io::Error::other("cargo built no isolate-run-weakened");
    built.weakened.ok_or_else(missing)
}

/// Builds the worker of a fleet, which a part of the tests does not bring along.
///
/// # Errors
///
/// As [`build`].
pub(crate) fn worker(
    screen: &Screen,
    top: &Path,
    work: &Path,
    common: &[String],
) -> io::Result<PathBuf> {
    let which = ["-p", "isolate-run-worker"];
    let mut command = building(top, &["build"], common, &which);
    let built = executables(screen, work, "worker", &mut command)?;
    let missing = || io::Error::other("cargo built no isolate-run-worker");
    built.worker.ok_or_else(missing)
}

/// What a cargo command builds that prints its messages.
fn executables(
    screen: &Screen,
    work: &Path,
    name: &str,
    command: &mut Command,
) -> io::Result<Built> {
    let messages = work.join(format!("{name}.json"));
    let log = work.join(format!("{name}.log"));
    let ended = job::run(screen, name, &log, Some(&messages), command)?;
    if !ended.ok() {
        return Err(io::Error::other("the crate does not build"));
    }
    Ok(artifacts(&fs::read_to_string(&messages)?))
}

/// The executables in cargo's messages.
fn artifacts(messages: &str) -> Built {
    let mut built = Built::default();
    let messages = messages.lines().filter(|line| line.starts_with('{'));
    for message in messages.filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let (Some(path), Some(name)) = (
            message["executable"].as_str(),
            message["target"]["name"].as_str(),
        ) else {
            continue;
        };
        if message["profile"]["test"] == true {
            built.tests.push((name.to_owned(), path.into()));
        } else if name == "isolate-run" {
            built.program = Some(path.into());
        } else if name == "isolate-run-weakened" {
            built.weakened = Some(path.into());
        } else if name == "isolate-run-worker" {
            built.worker = Some(path.into());
        }
    }
    built.tests.sort();
    built
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_told_apart_by_what_they_were_built_for() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"name":"libc","kind":["lib"]},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","target":{"name":"user","kind":["test"]},"profile":{"test":true},"executable":"/t/user-1"}
{"reason":"compiler-artifact","target":{"name":"isolate-run","kind":["bin"]},"profile":{"test":false},"executable":"/t/isolate-run"}
{"reason":"build-finished","success":true}
"#;
        let built = artifacts(messages);
        assert_eq!(built.program.as_deref(), Some(Path::new("/t/isolate-run")));
        assert_eq!(built.test("user"), Some(Path::new("/t/user-1")));
        assert_eq!(built.tests.len(), 1);
    }
}
