//! Graders of schools and training sites, each with its own command lines in control-group mode, step by step.

use crate::support;
use std::fs;
use std::path::Path;

use crate::support::clients::both_modes::{COMPILER, SOURCE};
use crate::support::clients::{copy, get, meta, put, under_both_names};
use crate::support::systemd::assert_nothing_left;
use crate::support::{TestBox, entries};

fn boxes() -> TestBox {
    TestBox::with_manager("systemd")
}

/// It moves a directory into the box, works there by a path that leads out of /box and back, and moves it out again.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn recodex_evaluates_in_a_directory_that_it_moves_in_and_out() {
    under_both_names(boxes, |client| {
        let id = client.id();
        let output = client.shell(&format!(
            "isolate --cg --box-id={id} --init 2>/dev/null </dev/null"
        ));
        assert_eq!(output.code, 0);
        let path = output.stdout.strip_suffix('\n').unwrap();
        let inside = Path::new(path).join("box");
        let data = client.test_box.make_dir("data", 0, 0o755);
        let judge = client.test_box.make_dir("judge", 0, 0o755);
        put(&data.join("main.src"), SOURCE, 0o644);
        put(&data.join("1.in"), "12\n13\n", 0o644);
        put(&judge.join("compile"), COMPILER, 0o644);
        let result = client.test_box.out().join("meta.log");
        let at = result.display();
        let run = |streams: &str, more: &str, program: &str| {
            let output = client.shell(&format!(
                "isolate --cg --cg-timing --box-id={id} --cg-mem=524288 --time=30.000000 --extra-time=0.000000 \
                 --stack=65536 --fsize=10240 {streams} --chdir=../box/evaluate {more} --env=LC_ALL=C \
                 --env=PATH=/usr/bin:/bin --dir=judge={}:noexec --dir=etc/alternatives=/etc/alternatives:maybe \
                 --meta={at} --run -- {program} </dev/null >/dev/null 2>/dev/null",
                judge.display()
            ));
            (output.code, meta(&result, true))
        };
        let moved = inside.join("evaluate");
        fs::rename(&data, &moved).unwrap();
        let (code, verdict) = run(
            "--stdout=evaluate/compiler.out --stderr-to-stdout",
            "--wall-time=60.000000 --processes=50",
            "/bin/sh /judge/compile main.src main",
        );
        assert_eq!((code, get(&moved.join("compiler.out"))), (0, String::new()));
        assert!(verdict.get("killed").is_none());
        let (code, verdict) = run(
            "--stdin=evaluate/1.in --stdout=evaluate/1.out --stderr=evaluate/1.err",
            "--wall-time=60.000000 --processes --share-net --dir=/etc",
            "./main",
        );
        assert_eq!((code, get(&moved.join("1.out"))), (0, "25\n".into()));
        for key in [
            "time",
            "time-wall",
            "cg-mem",
            "max-rss",
            "csw-voluntary",
            "csw-forced",
        ] {
            assert!(verdict.number(key) >= 0.0);
        }
        let (code, verdict) = run("", "--wall-time=0.500000 --processes", "/bin/sleep 1000");
        let message = verdict.get("message");
        assert_eq!(
            (code, message),
            (1, Some("Time limit exceeded (wall clock)"))
        );
        fs::rename(&moved, &data).unwrap();
        assert_eq!(get(&data.join("1.err")), "2\n");
        client.cleanup(&format!("--cg --box-id={id} --cleanup"));
        for made in [data, judge] {
            fs::remove_dir_all(made).unwrap();
        }
        assert_nothing_left(&client.test_box);
    });
}

/// It knows where boxes are, makes its own file system of the host's, takes one directory away, and passes on what it
/// has open.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn nztrain_judges_in_the_place_that_it_expects() {
    under_both_names(boxes, |client| {
        let (id, config) = (client.id(), client.test_box.config_file());
        let root = client.test_box.root().display().to_string();
        let fixed = get(&config).replace(&root, "/var/local/lib/isolate");
        fs::write(&config, fixed).unwrap();
        let path = client.init(&format!("-b{id} --cg --init"));
        assert_eq!(path, Path::new(&format!("/var/local/lib/isolate/{id}")));
        let inside = path.join("box");
        put(&inside.join("main.src"), SOURCE, 0o644);
        put(&inside.join("compile"), COMPILER, 0o644);
        put(&inside.join("in"), "1\n1\n1\n", 0o644);
        copy(&support::program("list_root"), &inside.join("list_root"));
        let result = client.test_box.out().join("x");
        let at = result.display();
        let run = |dirs: &str, more: &str, program: &str| {
            let output = client.shell(&format!(
                "isolate -b{id} --dir=/bin=/bin --dir=/dev=/dev:dev --dir=/lib=/lib --dir=/usr=/usr {dirs} -t10.0 \
                 -w30.0 -x0.5 -k65536 -M{at} {more} --cg --cg-timing --cg-mem=524288 --inherit-fds --open-files=64 \
                 --env=K=V --env=HOME=/box --run -- {program} 7<{}",
                config.display()
            ));
            (output, meta(&result, true))
        };
        let shown = "--dir=/lib64=/lib64";
        let (output, _) = run(shown, "-p", "/bin/sh compile main.src main");
        assert_eq!((output.code, &*output.stdout), (0, ""));
        let (output, verdict) = run(shown, "-p4 -iin -oout -rerr", "./main");
        assert_eq!((output.code, &*output.stdout), (0, ""));
        assert_eq!(get(&inside.join("out")), "3\n");
        assert!(verdict.get("status").is_none());
        let (output, _) = run(shown, "-p4", "/bin/cat /proc/self/fd/7");
        assert_eq!(output.stdout, get(&config), "descriptor 7");
        let (output, _) = run("--dir=/lib64=", "-p4", "./list_root");
        assert!(
            output.code == 0 && !output.stdout.contains("lib64"),
            "{output:?}"
        );
        assert!(
            output.stdout.contains("lib\n") || output.stdout.contains("lib "),
            "{output:?}"
        );
        let (output, verdict) = run(shown, "-p4", "/bin/false");
        assert_eq!((output.code, verdict.get("status")), (1, Some("RE")));
        client.cleanup(&format!("-b{id} --cg --cleanup"));
        assert!(!path.exists());
        assert_nothing_left(&client.test_box);
    });
}

/// It takes the name of whatever is beside the boxes for a number.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn camisole_finds_numbers_alone_beside_its_box() {
    under_both_names(boxes, |client| {
        let id = client.id();
        let numbers = || -> Vec<u32> {
            let beside = entries(&client.test_box.root());
            let name =
                |path: std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            beside.map(|path| name(path).parse().unwrap()).collect()
        };
        let inside = client
            .init(&format!("--box-id {id} --cg --init"))
            .join("box");
        assert_eq!(numbers(), [id]);
        put(&inside.join("main.src"), SOURCE, 0o644);
        put(&inside.join("compile"), COMPILER, 0o644);
        let result = client.test_box.out().join("meta");
        let at = result.display();
        let run = |processes: &str, errors: &str, program: &str, input: &str| {
            let mut command = client.command(&format!(
                "--box-id {id} --cg -d /etc -d /var/lib --extra-time=0.5 --fsize=10240 --cg-mem=524288 {processes} \
                 --stack=65536 --time=30 --mem=524288 --wall-time=60 --env PATH=/usr/bin:/bin --env HOME=/box --meta={at} \
                 --stdout=._stdout {errors} --run -- {program}"
            ));
            command.current_dir(&inside);
            let output = support::finish_with_input(command, input.as_bytes());
            (output, meta(&result, true))
        };
        let to_file = "--stderr=._stderr";
        let (output, _) = run("-p", to_file, "/bin/sh compile main.src main", "");
        assert_eq!(output.code, 0, "{output:?}");
        let (output, _) = run("--processes=1", to_file, "./main", "40\n1\n1\n");
        assert_eq!((output.code, &*output.stdout), (0, ""));
        assert_eq!(get(&inside.join("._stdout")), "42\n");
        assert_eq!(get(&inside.join("._stderr")), "3\n");
        let (output, _) = run("--processes=1", "--stderr-to-stdout", "./main", "40\n");
        assert_eq!(
            (output.code, get(&inside.join("._stdout"))),
            (0, "40\n1\n".into())
        );
        let (output, verdict) = run("--processes=1", to_file, "./absent", "");
        assert!(output.code < 2 && verdict.get("exitcode") == Some("127"));
        assert_eq!(numbers(), [id]);
        client.cleanup(&format!("--box-id {id} --cg --cleanup"));
        assert_eq!(numbers(), [0; 0]);
        assert_nothing_left(&client.test_box);
    });
}
