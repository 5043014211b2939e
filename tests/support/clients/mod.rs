//! What the tests of clients share: a client calls the program by either of its names, with the very command lines
//! that it uses, and reads meta files as strictly as the strictest of them all.
#![allow(
    clippy::print_stdout,
    reason = "what it prints shows when a test has failed"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{BOXES, Meta, Output, TestBox, binary, finish};

pub(crate) mod both_modes;
pub(crate) mod dialog;

/// A client of the sandbox with a box of its own.
#[derive(Debug)]
#[must_use]
pub(crate) struct Client {
    pub(crate) test_box: TestBox,
    program: PathBuf,
    id: u32,
}

/// Has a client work through its commands twice: with the program under its own name, and through a link called
/// `isolate`.
pub(crate) fn under_both_names(test_box: impl Fn() -> TestBox, work: impl Fn(&Client)) {
    for name in ["isolate-run", "isolate"] {
        println!("as {name}:");
        let client = Client::new(test_box(), name);
        work(&client);
        client.test_box.assert_gone();
    }
}

/// The same with a box of this number.
pub(crate) fn in_box(id: u32, test_box: impl Fn() -> TestBox, work: impl Fn(&Client)) {
    for name in ["isolate-run", "isolate"] {
        println!("as {name}:");
        let mut client = Client::new(test_box(), name);
        client.id = id;
        client.keep_to_own_uids();
        work(&client);
        client.test_box.assert_gone();
    }
}

impl Client {
    /// A client that knows the program by this name.
    fn new(test_box: TestBox, name: &str) -> Self {
        let mut program = binary();
        if name != "isolate-run" {
            let link = test_box.dir().join(name);
            symlink(&program, &link).unwrap();
            program = link;
        }
        let id = test_box.id();
        Self {
            test_box,
            program,
            id,
        }
    }

    /// Configures the uids of the test box as those of all boxes, whatever their numbers are.
    fn keep_to_own_uids(&self) {
        let config = self.test_box.config_file();
        let change = |line: &str| match line.split(' ').next() {
            Some(key @ ("first_uid" | "first_gid")) => {
                format!("{key} = {}\n", self.test_box.first_uid())
            }
            Some("count") => format!("count = {BOXES}\n"),
            _ => format!("{line}\n"),
        };
        let text: Vec<_> = get(&config).lines().map(change).collect();
        fs::write(&config, text.concat()).unwrap();
    }

    /// The number of its box.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The command with this line, whose words are parted by blanks. What it prints it prints into pipes.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.test_box.config_file());
        command.args(line.split_whitespace());
        command
    }

    /// Runs a command line to its end, with nothing to read.
    pub(crate) fn call(&self, line: &str) -> Output {
        println!("isolate {line}");
        let output = finish(self.command(line));
        println!("-> {output:?}");
        output
    }

    /// Lets a shell work, for which the program is `isolate`.
    pub(crate) fn shell(&self, script: &str) -> Output {
        let mut shell = Command::new("/bin/sh");
        let define = "p=$1 c=$2; isolate() { \"$p\" --config \"$c\" \"$@\"; }\n";
        shell.args(["-c", &format!("{define}{script}"), "sh"]);
        shell.arg(&self.program).arg(self.test_box.config_file());
        println!("{script}");
        let output = finish(shell);
        println!("-> {output:?}");
        output
    }

    /// Makes the box; the path that is printed, which is all that is printed.
    #[track_caller]
    pub(crate) fn init(&self, line: &str) -> PathBuf {
        let output = self.call(line);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{line}");
        let path = output.stdout.strip_suffix('\n').unwrap();
        assert!(
            !path.contains('\n') && Path::new(path).is_absolute(),
            "{path}"
        );
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "the client can go into {path}");
        PathBuf::from(path)
    }

    /// Removes the box; nobody has to hear about it.
    #[track_caller]
    pub(crate) fn cleanup(&self, line: &str) {
        self.call(line).assert_silent_success();
        self.test_box.assert_gone();
    }
}

/// Writes a file of a client's own. One that can be executed is copied to its place by another process: what other
/// tests start meanwhile would have it open, and nobody could execute it.
pub(crate) fn put(path: &Path, content: &str, mode: u32) {
    fs::write(path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    if mode & 0o111 != 0 {
        let original = path.with_extension("original");
        fs::rename(path, &original).unwrap();
        copy(&original, path);
        fs::remove_file(&original).unwrap();
    }
}

/// Copies a program to where it can be executed at once.
pub(crate) fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("install");
    command.arg("-m755").arg(from).arg(to);
    finish(command).assert_silent_success();
}

/// Reads a file.
#[track_caller]
pub(crate) fn get(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The meta file of a run that took place, see [`strict`].
#[track_caller]
pub(crate) fn meta(path: &Path, cg: bool) -> Meta {
    strict(&get(path), cg)
}

/// Reads a meta file; it fails unless that has exactly the keys that isolate writes for this ending, in isolate's order
/// and formats. `cg`: whether the run was one in control-group mode.
#[track_caller]
pub(crate) fn strict(raw: &str, cg: bool) -> Meta {
    for line in raw.split_terminator('\n') {
        // Some clients take the part after the first colon, some demand that there are two parts.
        assert_eq!(line.matches(':').count(), 1, "{line:?} in {raw}");
    }
    let meta = Meta::parse(raw);
    let mut expected: Vec<&str> = Vec::new();
    let killed = meta.get("killed").is_some();
    let timed_out = meta.get("status") == Some("TO");
    let ending = match (meta.get("exitcode"), meta.get("exitsig")) {
        (Some(_), None) => Some("exitcode"),
        (None, Some(_)) => Some("exitsig"),
        (None, None) => None,
        both => panic!("{both:?} in {raw}"),
    };
    if killed {
        expected.extend(ending);
        expected.extend(["status", "message", "killed"]);
    }
    // An internal error may come before there is a run.
    if meta.get("time").is_some() || meta.get("status") != Some("XX") {
        let figures = "time time-wall max-rss csw-voluntary csw-forced";
        expected.extend(figures.split(' '));
        expected.extend(cg.then_some("cg-mem"));
        expected.extend(meta.get("cg-oom-killed").map(|_| "cg-oom-killed"));
    }
    if !killed {
        expected.extend(ending);
        if ending != Some("exitcode") || meta.get("exitcode") != Some("0") || timed_out {
            expected.extend(["status", "message"]);
        }
    }
    assert_eq!(meta.keys(), expected, "{raw}");
    for (key, value) in &meta.lines {
        assert!(is_formatted(key, value), "{key}:{value} in {raw}");
    }
    assert!(is_consistent(&meta, killed), "{raw}");
    meta
}

/// Whether a value has the form that isolate gives it. No other key exists.
fn is_formatted(key: &str, value: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match key {
        "time" | "time-wall" => value
            .split_once('.')
            .is_some_and(|(s, ms)| digits(s) && digits(ms) && ms.len() == 3),
        "max-rss" | "csw-voluntary" | "csw-forced" | "cg-mem" | "exitcode" | "exitsig" => {
            digits(value)
        }
        "killed" | "cg-oom-killed" => value == "1",
        "status" => ["RE", "SG", "TO", "XX"].contains(&value),
        "message" => !value.is_empty(),
        _ => false,
    }
}

/// Whether status, message and ending say the same.
fn is_consistent(meta: &Meta, killed: bool) -> bool {
    let (code, signal) = (meta.get("exitcode"), meta.get("exitsig"));
    let message = meta.get("message").unwrap_or_default();
    match meta.get("status") {
        None => (code, signal, killed, message) == (Some("0"), None, false, ""),
        Some("RE") => {
            let code = code.unwrap();
            !killed && code != "0" && message == format!("Exited with error status {code}")
        }
        Some("SG") if killed => signal.is_some() && message == "Interrupted",
        Some("SG") => message == format!("Caught fatal signal {}", signal.unwrap()),
        Some("TO") => {
            let wall = message == "Time limit exceeded (wall clock)";
            (code, signal) == (None, None) && (wall || message == "Time limit exceeded")
        }
        _ => (code, signal) == (None, None),
    }
}
