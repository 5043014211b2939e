//! Systems for contests, each with its own command lines in control-group mode, step by step.

use crate::support;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::TestBox;
use crate::support::clients::both_modes::{COMPILER, SOURCE};
use crate::support::clients::{Client, copy, get, in_box, meta, put, under_both_names};
use crate::support::systemd::{assert_nothing_left, assert_nothing_left_of};

/// With a manager, and below /var/tmp: a directory that is shown under its own name must not be hidden by /tmp.
fn boxes() -> TestBox {
    TestBox::new_in("/var/tmp".as_ref(), "systemd")
}

/// A directory of the client for each sandbox, shown as /tmp; clean up first, then make.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn cms_compiles_in_one_sandbox_and_evaluates_in_the_next() {
    // Of the last shard.
    in_box(64_999, boxes, |client| {
        let id = client.id();
        let outer = |name: &str| {
            client.cleanup(&format!("--box-id={id} --cg --cleanup"));
            client.init(&format!("--box-id={id} --cg --init"));
            let outer = client.test_box.make_dir(name, 0, 0o755);
            fs::create_dir(outer.join("home")).unwrap();
            fs::set_permissions(outer.join("home"), fs::Permissions::from_mode(0o777)).unwrap();
            outer
        };
        let delete = |outer: &Path| {
            let home = outer.join("home").display().to_string();
            // The directory itself is the client's, so chmod complains; what the program has made is what counts.
            let chmod = client.call(&format!(
                "--box-id={id} --cg --dir=/tmp={home}:rw --run -- /bin/chmod 777 -R /tmp"
            ));
            assert!([0, 1].contains(&chmod.code), "{chmod:?}");
            client.cleanup(&format!("--box-id={id} --cg --cleanup"));
        };
        let compiling = outer("compilation");
        put(&compiling.join("home/main.src"), SOURCE, 0o644);
        put(&compiling.join("home/compile.sh"), COMPILER, 0o644);
        let at = compiling.display();
        let output = client.call(&format!(
            "--cg --box-id={id} --chdir=/tmp --dir=/tmp={at}/home:rw --dir=/dev/shm:tmp \
             --dir=/etc/alternatives=/etc/alternatives --full-env --env=HOME=/tmp --cg-mem=524288 \
             --stdout=/tmp/compiler_stdout.txt --processes=1000 --stderr=/tmp/compiler_stderr.txt --time=30 \
             --wall-time=61 --meta={at}/run.meta.0 --run -- /bin/sh compile.sh main.src main"
        ));
        assert_eq!((output.code, &*output.stdout), (0, ""), "{output:?}");
        let result = meta(&compiling.join("run.meta.0"), true);
        assert!(result.number("cg-mem") > 0.0 && result.get("status").is_none());
        assert_eq!(get(&compiling.join("home/compiler_stderr.txt")), "");
        delete(&compiling);
        let made = compiling.join("home/main");
        assert_eq!(
            fs::metadata(&made).unwrap().permissions().mode() & 0o777,
            0o777
        );

        let evaluating = outer("evaluation");
        fs::rename(&made, evaluating.join("home/main")).unwrap();
        put(&evaluating.join("home/input.txt"), "1000\n1\n", 0o644);
        let at = evaluating.display();
        let mut number = 0;
        let mut evaluate = |limits: &str, program: &str| {
            number += 1;
            let output = client.call(&format!(
                "--cg --box-id={id} --chdir=/tmp --dir=/tmp={at}/home:rw --dir=/dev/shm:tmp --env=HOME=/tmp \
                 --fsize=1048576 --stdin=/tmp/input.txt --stack=65536 --cg-mem=32768 --stdout=/tmp/output.txt \
                 --processes=1 --stderr=/tmp/stderr.txt {limits} --meta={at}/run.meta.{number} --run -- {program}"
            ));
            assert_eq!(output.stdout, "");
            (
                output.code,
                meta(&evaluating.join(format!("run.meta.{number}")), true),
            )
        };
        let (code, result) = evaluate("--time=1e+06 --wall-time=2e+06 --extra-time=0.5", "./main");
        assert_eq!((code, result.get("exitcode")), (0, Some("0")));
        assert_eq!(get(&evaluating.join("home/output.txt")), "1001\n");
        assert_eq!(get(&evaluating.join("home/stderr.txt")), "2\n");
        assert!(result.number("time") >= 0.0 && result.number("time-wall") > 0.0);
        let (code, result) = evaluate("--verbose --verbose --wall-time=0.5", "/bin/sleep 1000");
        assert_eq!((code, result.get("status")), (1, Some("TO")));
        assert!(result.get("message").unwrap().contains("wall"));
        let home = evaluating.join("home");
        copy(&support::program("burn_cpu"), &home.join("burn"));
        copy(&support::program("memory_bomb"), &home.join("bomb"));
        let (code, result) = evaluate("--time=0.1 --extra-time=0.05", "/tmp/burn 1000000");
        assert_eq!((code, result.get("status")), (1, Some("TO")));
        assert!(!result.get("message").unwrap().contains("wall"));
        let (code, result) = evaluate("--time=30", "/tmp/bomb 1 100");
        assert_eq!(
            (code, result.get("status"), result.get("exitsig")),
            (1, Some("SG"), Some("9"))
        );
        assert_eq!(result.get("cg-oom-killed"), Some("1"));
        let (code, result) = evaluate("--dir=/absent=/no/such/directory", "./main");
        assert_eq!((code, result.get("status")), (2, Some("XX")));
        delete(&evaluating);
        for name in ["compilation", "evaluation"] {
            fs::remove_dir_all(client.test_box.dir().join(name)).unwrap();
        }
        assert_nothing_left_of(&client.test_box, id);
    });
}

fn judgels_box(client: &Client, id: u32) -> PathBuf {
    let output = client.shell(&format!("isolate -b{id} --cg --init 2>&1"));
    assert_eq!(output.code, 0, "{output:?}");
    Path::new(output.stdout.lines().next().unwrap()).join("box")
}

/// Every option is glued to its value, the meta file lies in the box, clean-up does not name the mode.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn judgels_grades_with_its_files_in_the_box() {
    under_both_names(boxes, |client| {
        let id = client.id();
        let shown = client.test_box.make_dir("shown", 0, 0o777);
        let inside = judgels_box(client, id);
        // Of a box that is there already it may hear that; it would clean up and try again.
        assert_eq!(judgels_box(client, id), inside);
        let at = inside.display();
        let limits = format!(
            "--dir=/etc --dir={}:rw -e --cg --cg-timing",
            shown.display()
        );
        let run = |more: &str, program: &str| {
            let output = client.call(&format!(
                "-b{id} {limits} {more} -k65536 -f102400 -M{at}/_isolate.meta --run -- {program}"
            ));
            assert_eq!(output.stdout, "");
            (output.code, meta(&inside.join("_isolate.meta"), true))
        };
        put(&inside.join("main.src"), SOURCE, 0o644);
        put(&inside.join("compile"), COMPILER, 0o644);
        let (code, result) = run(
            "-p50 -t10.0 -x0.5 -w30.0 --cg-mem=524288 -o_compilation.out -r_error.out",
            "/bin/sh compile main.src main",
        );
        assert_eq!((code, get(&inside.join("_error.out"))), (0, String::new()));
        assert!(result.get("killed").is_none());
        put(&inside.join("1.in"), "7\n8\n", 0o644);
        let (code, result) = run(
            "-p50 -t10.0 -x0.5 -w30.0 --cg-mem=65536 -i1.in -o_evaluation.out -r_error.out",
            "./main",
        );
        assert_eq!(
            (code, get(&inside.join("_evaluation.out"))),
            (0, "15\n".into())
        );
        for key in ["time", "time-wall", "cg-mem"] {
            assert!(result.number(key) >= 0.0);
        }
        let keep = format!("/usr/bin/cp 1.in {}/kept", shown.display());
        assert_eq!(run("-p50 --cg-mem=65536", &keep).0, 0);
        assert!(shown.join("kept").exists());
        let (code, result) = run("-p1 -t10.0 -w0.5 --cg-mem=65536", "/bin/sleep 1000");
        assert_eq!(
            (code, result.get("status"), result.get("killed")),
            (1, Some("TO"), Some("1"))
        );
        let (code, result) = run("-p50 -m524288", "/bin/false");
        assert_eq!((code, result.get("status")), (1, Some("RE")));
        assert!(result.number("cg-mem") > 0.0, "without a limit, too");
        client.cleanup(&format!("-b{id} --cleanup"));
        assert!(!inside.exists());
        fs::remove_dir_all(shown).unwrap();
        assert_nothing_left(&client.test_box);
    });
}
