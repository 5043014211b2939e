//! What the README and the pages in `docs` show is what happens: every command in a `console` block is run, and what it prints
//! compared. The package is installed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::pages::{Shown, blocks, commands, is_as_shown, pages};
use crate::support::{ALICE, entries, slow, source};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Pages that need compilers, which the usual guests do not have: `tests/run --languages`.
const WITH_COMPILERS: [&str; 2] = ["docs/languages.md", "docs/tutorial.md"];

/// Where one page's commands run.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::TempDir::with_prefix("page-").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, lines: &[String]) {
        let path = self.0.path().join(name);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        chown(&path, Some(ALICE), None).unwrap();
    }

    /// Gives the jobs in its files more time.
    fn widen_limits(&self) {
        for path in entries(self.0.path()).filter(|path| path.is_file()) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let wide = text.replace("\"1s\"", "\"10s\"");
            let wide = wide.replace("\"wall_time\": \"10s\"", "\"wall_time\": \"150s\"");
            if wide != text {
                fs::write(&path, wide).unwrap();
            }
        }
    }

    /// What a command prints, on both streams.
    fn run(&self, command: &str, is_roots: bool) -> String {
        let mut shell = match is_roots {
            true => Command::new("bash"),
            false => {
                let mut user = Command::new("setpriv");
                user.args(["--reuid=alice", "--regid=alice", "--init-groups", "bash"]);
                user.env("HOME", "/home/alice").env("USER", "alice");
                user
            }
        };
        shell.arg("-c").arg(format!("exec 2>&1\n{command}"));
        shell.current_dir(self.0.path()).stdin(Stdio::null());
        let output = shell.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// What a command prints. A slow guest on a busy machine may compute for a second what takes a moment elsewhere: a limit that is
/// exceeded only there is made wider.
fn printed(folder: &Folder, shown: &Shown) -> String {
    let printed = folder.run(&shown.command, shown.is_roots);
    let is_late = ["time limit exceeded", "time_limit"];
    let is_late = is_late.iter().any(|it| printed.to_lowercase().contains(it));
    if !slow() || !is_late || is_as_shown(&shown.output, &printed) {
        return printed;
    }
    folder.widen_limits();
    let command = shown.command.replace(" -t 1 ", " -t 30 ");
    let command = command.replace(" -w 5 ", " -w 150 ");
    let printed = folder.run(&command, shown.is_roots);
    printed
        .replace(" of 30 s", " of 1 s")
        .replace(" of 150 s", " of 5 s")
}

/// What differs from what a page shows.
fn differences(page: &Path, count: &mut usize) -> Vec<String> {
    let text = fs::read_to_string(source(page.to_str().unwrap())).unwrap();
    let blocks = blocks(&text);
    let folder = Folder::new();
    for block in &blocks {
        if let Some(name) = block.note("file") {
            folder.write(name, &block.text);
        }
    }
    let mut found = Vec::new();
    let run = blocks.iter().filter(|block| block.kind == "console");
    for block in run.filter(|block| block.note("not-run").is_none()) {
        for shown in commands(block) {
            let printed = printed(&folder, &shown);
            *count += 1;
            if !is_as_shown(&shown.output, &printed) {
                let (place, wanted) = (page.display(), shown.output.join("\n"));
                let (line, command) = (shown.line, shown.command);
                found.push(format!(
                    "{place}:{line}: {command}\nshown:\n{wanted}\nprinted:\n{printed}"
                ));
            }
        }
    }
    found
}

/// What keeps a scope for a next run, which nobody waits for here.
fn dismiss_holders() {
    let is_holder = |process: &PathBuf| {
        fs::read(process.join("comm")).is_ok_and(|name| name == b"isolate-holder\n")
    };
    for process in entries(Path::new("/proc")).filter(is_holder) {
        let pid = process.file_name().unwrap().to_str().unwrap();
        kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGTERM).ok();
    }
}

fn assert_true(is_asked_for: impl Fn(&str) -> bool, at_least: usize) {
    crate::support::rootless::start_manager();
    let mut count = 0;
    let mut found = Vec::new();
    for page in pages() {
        if is_asked_for(page.to_str().unwrap()) {
            found.extend(differences(&page, &mut count));
        }
    }
    dismiss_holders();
    assert!(
        found.is_empty(),
        "{} of {count}:\n{}",
        found.len(),
        found.join("\n\n")
    );
    assert!(count >= at_least, "only {count} commands were run");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn every_command_prints_what_is_shown() {
    assert_true(|page| !WITH_COMPILERS.contains(&page), 30);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn every_command_with_compilers_prints_what_is_shown() {
    assert_true(|page| WITH_COMPILERS.contains(&page), 30);
}
