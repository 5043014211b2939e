//! In containers, by the files of `contrib/container`: podman with crun and with runc, root's and an ordinary user's, with the
//! engine's own filter of system calls, and no more rights than `docs/containers.md` says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::MutexGuard;

use crate::support::systemd::{alone, must};
use crate::support::{Output, binary, finish, source, wait_until};
use serde_json::Value;
use tempfile::TempDir;

/// All that a container needs: `docs/containers.md` has a table with what each is for.
const CAPABILITIES: [&str; 10] = [
    "SYS_ADMIN",
    "NET_ADMIN",
    "SYS_CHROOT",
    "SETUID",
    "SETGID",
    "SETPCAP",
    "KILL",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
];

const UNMASK: &str = "--security-opt=unmask=/sys/fs/cgroup";

/// Who has the containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Root,
    Alice,
}

/// An image of its own, and what runs it.
#[derive(Debug)]
struct Engine {
    owner: Owner,
    runtime: &'static str,
    dir: TempDir,
    /// All of podman have one file of locks, which goes with this.
    _alone: MutexGuard<'static, ()>,
}

impl Engine {
    /// Builds the image of the Containerfile, offline.
    fn new(owner: Owner) -> Self {
        let dir = TempDir::new().unwrap();
        let engine = Self {
            owner,
            runtime: "crun",
            dir,
            _alone: alone(),
        };
        let at = |name: &str| engine.dir.path().join(name);
        fs::set_permissions(engine.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(at("context")).unwrap();
        fs::create_dir(at("home")).unwrap();
        fs::copy(binary(), at("context/isolate-run")).unwrap();
        let contrib = source("contrib");
        must(
            "cp",
            &[
                "-r",
                contrib.to_str().unwrap(),
                at("context").to_str().unwrap(),
            ],
        );
        if owner == Owner::Alice {
            must("loginctl", &["enable-linger", "alice"]);
            must("chown", &["alice:", at("home").to_str().unwrap()]);
        }
        let base = "docker.io/library/debian:trixie-slim";
        engine.must(&["import", "-q", "/opt/slim.tar", base]);
        let context = at("context").display().to_string();
        let file = format!("{context}/contrib/container/Containerfile");
        let build = [
            "build",
            "-q",
            "--network=none",
            "-t",
            "isolate-run",
            "-f",
            &file,
        ];
        engine.must(&[&build[..], &["--build-arg=BINARY=isolate-run", &context]].concat());
        engine
    }

    fn podman(&self, words: &[&str]) -> Output {
        let home = self.dir.path().join("home");
        let place = |name: &str| format!("{}/{name}", home.display());
        let storage = [
            format!("--root={}", place("storage")),
            format!("--runroot={}", place("run")),
            format!("--tmpdir={}", place("tmp")),
        ];
        let mut command = match self.owner {
            Owner::Root => Command::new("podman"),
            // sudo would take core files away for good, which no container of a user gets back.
            Owner::Alice => {
                let mut command = Command::new("systemd-run");
                let uid = must("id", &["-u", "alice"]);
                let runtime = format!("XDG_RUNTIME_DIR=/run/user/{}", uid.trim());
                command.args(["--quiet", "--collect", "--wait", "--pipe", "--uid=alice"]);
                command.args(["--setenv", &runtime, "--setenv"]);
                command.arg(format!("HOME={}", home.display()));
                command.args(["--working-directory=/", "podman"]);
                command
            }
        };
        command
            .args(storage)
            .arg("--runtime")
            .arg(self.runtime)
            .args(words);
        finish(command)
    }

    #[track_caller]
    fn must(&self, words: &[&str]) -> String {
        let output = self.podman(words);
        assert_eq!(output.code, 0, "{words:?}: {output:?}");
        output.stdout
    }

    /// Runs this in a container with these options.
    fn run(&self, options: &[&str], words: &[&str]) -> Output {
        let begin = ["run", "--rm", "--network=none"];
        self.podman(&[&begin[..], options, &["isolate-run"], words].concat())
    }

    /// The same as a script, with all that a container needs.
    fn script(&self, options: &[&str], script: &str) -> Output {
        let needed = needed(&CAPABILITIES);
        let needed = needed.iter().map(String::as_str);
        let options: Vec<_> = needed.chain(options.iter().copied()).collect();
        self.run(&options, &["sh", "-c", script])
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Files of a user's containers are of ids that only a user namespace has.
        drop(self.podman(&["system", "reset", "--force"]));
        if self.owner == Owner::Alice {
            must("loginctl", &["disable-linger", "alice"]);
        }
        must("systemctl", &["stop", "machine.slice"]);
        drop(fs::remove_file("/dev/shm/libpod_lock"));
    }
}

/// The options for these capabilities and a cgroup that can be written.
fn needed(capabilities: &[&str]) -> [String; 3] {
    let capabilities = capabilities.join(",");
    [
        "--cap-drop=ALL".into(),
        format!("--cap-add={capabilities}"),
        UNMASK.into(),
    ]
}

/// Limits are in force, and the second run is where the first was.
const TWICE: &str = "for i in 1 2; do isolate-run exec --cg --memory=64M --processes=5 --report=/tmp/$i -s -- /bin/true || exit; done; \
                     cat /tmp/1 /tmp/2; cat /proc/self/cgroup /sys/fs/cgroup/cgroup.subtree_control; exit 7";

#[track_caller]
fn assert_held(engine: &Engine, options: &[&str]) {
    let output = engine.script(options, TWICE);
    assert_eq!((output.code, output.stderr.as_str()), (7, ""), "{output:?}");
    let mut documents = serde_json::Deserializer::from_str(&output.stdout).into_iter::<Value>();
    for _ in 0..2 {
        let report = documents.next().unwrap().unwrap();
        assert_eq!(report["cgroup"]["manager"], "delegated", "{report}");
        assert_eq!(report["cgroup"]["control_group_mode"], true);
        let path = report["cgroup"]["path"].as_str().unwrap();
        assert!(path.starts_with("/sys/fs/cgroup/isolate-"), "{path}");
        assert_eq!(path.matches('/').count(), 4, "{path}");
        assert_eq!(report["limits"]["memory_bytes"], 64 << 20);
        assert_eq!(report["limits"]["processes"], 5);
    }
    let rest = &output.stdout[documents.byte_offset()..];
    assert!(rest.contains("0::/isolate-rest\n"), "{rest}");
    assert!(rest.contains("memory pids"), "{rest}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_image_works_in_containers_of_root_and_of_a_user_with_both_runtimes() {
    for owner in [Owner::Root, Owner::Alice] {
        let mut engine = Engine::new(owner);
        for runtime in ["crun", "runc"] {
            engine.runtime = runtime;
            assert_held(&engine, &[]);
        }
        let hardened = [
            "--read-only",
            "--tmpfs=/run",
            "--tmpfs=/tmp",
            "--security-opt=no-new-privileges",
        ];
        assert_held(&engine, &hardened);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn each_right_that_a_container_lacks_is_named() {
    let engine = Engine::new(Owner::Root);
    for lacking in CAPABILITIES {
        let fewer = CAPABILITIES.into_iter().filter(|name| *name != lacking);
        let fewer = needed(&fewer.collect::<Vec<_>>());
        let fewer: Vec<_> = fewer.iter().map(String::as_str).collect();
        let output = engine.run(&fewer, &["isolate-run", "exec", "--cg", "--", "/bin/true"]);
        if lacking == "FOWNER" {
            // It is needed for what a killed run has left alone.
            assert_eq!(output.code, 0, "{output:?}");
            continue;
        }
        assert_eq!(output.code, 125, "{lacking}: {output:?}");
        let name = format!("CAP_{lacking}");
        assert!(output.stderr.contains(&name), "{lacking}: {output:?}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_cgroup_that_cannot_be_written_is_refused_and_never_silently_done_without() {
    let engine = Engine::new(Owner::Root);
    let capabilities = [format!("--cap-add={}", CAPABILITIES.join(","))];
    let capabilities: Vec<_> = capabilities.iter().map(String::as_str).collect();
    let assert_refused = |output: &Output| {
        assert_eq!(output.code, 125, "{output:?}");
        for words in [
            "the cgroup /sys/fs/cgroup of this process cannot be written (Read-only file system)",
            "unmask=/sys/fs/cgroup",
            "docs/containers.md",
        ] {
            assert!(output.stderr.contains(words), "{output:?}");
        }
    };
    assert_refused(&engine.run(&capabilities, &["true"]));
    let own = [&capabilities[..], &["--entrypoint=/usr/bin/isolate-run"]].concat();
    assert_refused(&engine.run(&own, &["exec", "--", "/bin/true"]));

    // Who wants to do without has to say so, or is told.
    let auto = engine.dir.path().join("auto.toml");
    fs::write(&auto, "cgroup.manager = 'auto'\n").unwrap();
    let mount = format!("--volume={}:/auto.toml:ro", auto.display());
    let auto = [&own[..], &[&mount]].concat();
    let words = [
        "exec",
        "--config=/auto.toml",
        "-v",
        "--json",
        "--",
        "/bin/true",
    ];
    let output = engine.run(&auto, &words);
    assert_eq!(output.code, 0, "{output:?}");
    let why = "no cgroup: systemd does not run here, and the cgroup /sys/fs/cgroup of this process cannot be written";
    assert!(output.stderr.contains(why), "{output:?}");
    let report = &output.stderr[output.stderr.find("{\n").unwrap()..];
    let report: Value = serde_json::from_str(report).unwrap();
    assert_eq!(report["cgroup"]["manager"], "none");
    let reason = report["cgroup"]["reason"].as_str().unwrap();
    assert!(reason.contains("cannot be written"), "{reason}");
    let refused = engine.run(
        &auto,
        &["exec", "--config=/auto.toml", "--cg", "--", "/bin/true"],
    );
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(
        refused.stderr.contains("--cg is not possible"),
        "{refused:?}"
    );
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_program_is_killed_at_its_limit_and_a_shell_that_comes_later_has_one_too() {
    let engine = Engine::new(Owner::Root);
    let needed = needed(&CAPABILITIES);
    let needed: Vec<_> = needed.iter().map(String::as_str).collect();
    let begin = ["run", "--detach", "--network=none", "--name=judge"];
    engine.must(&[&begin[..], &needed, &["isolate-run"]].concat());
    let is_ready = || {
        let there = engine.podman(&["exec", "judge", "ls", "/sys/fs/cgroup/isolate-rest"]);
        there.code == 0
    };
    wait_until("the cgroup is ready", is_ready);
    for _ in 0..2 {
        let words = [
            "exec",
            "judge",
            "isolate-run",
            "exec",
            "--cg",
            "--memory=24M",
        ];
        let output = engine.podman(&[&words[..], &["--", "/bin/tail", "/dev/zero"]].concat());
        assert_eq!(output.code, 137, "{output:?}");
        assert!(
            output.stderr.contains("memory limit exceeded"),
            "{output:?}"
        );
    }
    let groups = engine.must(&[
        "exec",
        "judge",
        "find",
        "/sys/fs/cgroup",
        "-name",
        "isolate*",
    ]);
    assert_eq!(groups, "/sys/fs/cgroup/isolate-rest\n");
    engine.must(&["stop", "--time=10", "judge"]);
    let code = engine.must(&["inspect", "--format={{.State.ExitCode}}", "judge"]);
    assert_eq!(code.trim(), "143", "sleep has had its SIGTERM");
    engine.must(&["rm", "judge"]);
}
