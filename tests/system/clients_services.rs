//! Services that run programs for anybody, each with its own command lines in control-group mode, step by step.

use crate::support;
use std::fs;

use crate::support::clients::both_modes::{COMPILER, SOURCE, judge0};
use crate::support::clients::{Client, copy, in_box, meta, put, under_both_names};
use crate::support::systemd::{assert_nothing_left, assert_nothing_left_of};
use crate::support::{Output, Started, TestBox, finish_with_input, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Below /var/tmp: a directory that is shown under its own name must not be hidden by /tmp.
fn boxes() -> TestBox {
    TestBox::new_in("/var/tmp".as_ref(), "systemd")
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn judge0_judges_a_submission_with_limits_for_all_processes() {
    // The number of a submission is that of its box, as far as there are numbers.
    in_box(2_147_483_646, boxes, |client| {
        judge0(client, "--cg", "--cg-timing", "--cg-mem=512000");
        judge0(client, "--cg", "--no-cg-timing", "--cg-mem=512000");
        judge0(client, "--cg", "--cg-timing", "-m 512000");
        assert_nothing_left_of(&client.test_box, client.id());
    });
}

/// Piston's two boxes, and the package with the language.
struct Piston<'a> {
    client: &'a Client,
    packages: String,
}

impl Piston<'_> {
    fn init(&self, id: u32) -> std::path::PathBuf {
        let output = self.client.shell(&format!("isolate --init --cg -b{id}"));
        assert_eq!((output.code, &*output.stderr), (0, ""));
        std::path::Path::new(output.stdout.trim()).join("box")
    }

    fn line(&self, id: u32, limits: &str, script: &str) -> String {
        let (packages, meta) = (&self.packages, self.meta(id).display().to_string());
        format!(
            "--run -b{id} --meta={meta} --cg -s -c /box/submission -E HOME=/tmp -E PATH=/usr/bin:/bin \
             -E PISTON_LANGUAGE=sums --dir={packages} --dir=/etc:noexec --processes=64 --open-files=2048 \
             --fsize=10000000 --wall-time=60 --time=30 --extra-time=0 {limits} -- /bin/bash {packages}/{script}"
        )
    }

    fn meta(&self, id: u32) -> std::path::PathBuf {
        self.client
            .test_box
            .out()
            .join(format!("{id}-metadata.txt"))
    }

    fn run(&self, id: u32, limits: &str, script: &str, input: &str) -> (Output, support::Meta) {
        let line = self.line(id, limits, script);
        let output = finish_with_input(self.client.command(&line), input.as_bytes());
        (output, meta(&self.meta(id), true))
    }
}

/// The directory with the submission is moved from the box that compiled to the one that runs; a program that says too
/// much costs the sandbox a signal.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn piston_compiles_in_one_box_and_runs_in_the_next() {
    under_both_names(boxes, |client| {
        let packages = client.test_box.make_dir("packages", 0, 0o755);
        put(
            &packages.join("compile"),
            &format!("set -- main.src main\n{COMPILER}"),
            0o644,
        );
        put(
            &packages.join("run"),
            "echo $PISTON_LANGUAGE $PWD >&2; exec ./main \"$@\"",
            0o644,
        );
        put(
            &packages.join("forever"),
            "echo more; echo more; : >up; while echo more; do :; done",
            0o644,
        );
        let piston = Piston {
            client,
            packages: packages.display().to_string(),
        };
        let (first, second) = (client.id(), client.id() + 1);
        let compiling = piston.init(first);
        fs::create_dir(compiling.join("submission")).unwrap();
        put(&compiling.join("submission/main.src"), SOURCE, 0o644);
        let (output, result) = piston.run(first, "--cg-mem=524288", "compile", "");
        output.assert_silent_success();
        assert_eq!(result.get("exitcode"), Some("0"));

        let running = piston.init(second);
        fs::rename(compiling.join("submission"), running.join("submission")).unwrap();
        let (output, result) = piston.run(second, "--cg-mem=65536 --share-net", "run", "4\n5\n");
        assert_eq!(
            (&*output.stdout, &*output.stderr),
            ("9\n", "sums /box/submission\n2\n")
        );
        for key in ["cg-mem", "exitcode", "time", "time-wall"] {
            assert!(result.number(key) >= 0.0);
        }
        copy(
            &support::program("memory_bomb"),
            &running.join("submission/main"),
        );
        let (_, result) = piston.run(second, "--cg-mem=32768", "run", "");
        assert_eq!(
            (result.get("status"), result.get("exitsig")),
            (Some("SG"), Some("9"))
        );
        assert_eq!(result.get("message"), Some("Caught fatal signal 9"));

        let loud = Started::new(
            client.command(&piston.line(second, "", "forever")),
            Some(b""),
        );
        wait_until("it is loud", || running.join("submission/up").exists());
        kill(Pid::from_raw(loud.pid()), Signal::SIGABRT).unwrap();
        assert!(loud.finish().stdout.starts_with("more\nmore\n"));
        assert_eq!(meta(&piston.meta(second), true).get("status"), Some("XX"));
        for id in [first, second] {
            client
                .call(&format!("--cleanup --cg -b{id}"))
                .assert_silent_success();
        }
        fs::remove_dir_all(packages).unwrap();
        assert_nothing_left(&client.test_box);
    });
}
