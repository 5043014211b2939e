//! One machine that needs nobody: `--local`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::world::PATIENCE;
use crate::{fake, servers};

#[test]
fn one_command_is_a_fleet_and_nothing_is_left_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().display();
    fake::program(dir.path());
    let config = dir.path().join("worker.toml");
    let text = format!(
        "[machine]\nid = \"one\"\nprogram = \"{place}/isolate-run\"\nstate_dir = \"{place}/state\"\n\
         [files]\ncache_dir = \"{place}/cache\"\nmin_free = \"1M\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let folder = servers::program().parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let command = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isolate-run-worker"));
        command
            .arg("--config")
            .arg(&config)
            .arg("--local")
            .args(words);
        command
            .env("PATH", &path)
            .env("FAKE_RAN", dir.path().join("ran"))
            .stdin(Stdio::null());
        command
    };
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let mut worker = command(&[])
        .stderr(log)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let said = || std::fs::read_to_string(dir.path().join("log")).unwrap();
    let end = Instant::now() + PATIENCE;
    while !said().contains("takes jobs") {
        assert!(
            Instant::now() < end && worker.try_wait().unwrap().is_none(),
            "{}",
            said()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let jobs = dir.path().join("jobs.jsonl");
    std::fs::write(&jobs, "{\"id\":\"a\",\"steps\":[{\"argv\":[\"x\"]}]}\n").unwrap();
    let output = command(&["submit", "--wait", jobs.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"outcome\":\"done\""));
    // What it is reached by is nobody else's.
    let mode = |name: &str| {
        std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(dir.path().join(name))
                .unwrap()
                .permissions(),
        ) & 0o777
    };
    assert_eq!(
        (mode("state/local"), mode("state/local/password")),
        (0o700, 0o600)
    );
    kill(
        Pid::from_raw(worker.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert!(worker.wait().unwrap().success(), "{}", said());
    wait_until_nobody_has(&dir.path().join("state/local/nats.conf"));
}

/// The server ends with the worker.
fn wait_until_nobody_has(config: &Path) {
    let end = Instant::now() + PATIENCE;
    let config = config.to_str().unwrap();
    let is_there = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines =
            processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        lines
            .map(|line| String::from_utf8_lossy(&line).into_owned())
            .any(|line| line.contains(config))
    };
    while is_there() {
        assert!(Instant::now() < end, "nats-server is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}
