//! `test` and `pair`: solutions on tests, and programs that talk to each other.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::batch::{assert_nothing_left, batch_command, result_of};
use crate::support::{Output, TestBox, finish};

/// Writes a script, which may be run, to where the commands are given.
fn script(test_box: &TestBox, name: &str, text: &str) -> PathBuf {
    let path = test_box.out().join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn tests(test_box: &TestBox, all: &[(&str, &str, &str)]) {
    fs::create_dir_all(test_box.out().join("tests")).unwrap();
    for (name, input, answer) in all {
        let path = |kind: &str| test_box.out().join(format!("tests/{name}.{kind}"));
        fs::write(path("in"), input).unwrap();
        fs::write(path("ans"), answer).unwrap();
    }
}

fn run(test_box: &TestBox, args: &[&str]) -> Output {
    finish(batch_command(test_box, None, args))
}

fn judge(test_box: &TestBox, options: &[&str], program: &[&str]) -> Output {
    let patterns = ["--in=tests/*.in", "--out=tests/*.ans", "-p20", "-w20"];
    run(
        test_box,
        &[&["test"], &patterns[..], options, &["--"], program].concat(),
    )
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_solution_gets_a_verdict_on_every_test() {
    let test_box = TestBox::new();
    tests(
        &test_box,
        &[
            ("1", "3 4\n", "7\n"),
            ("2", "1 1\n", "  2"),
            ("9", "wrong\n", "0\n"),
            ("10", "fail\n", ""),
            ("11", "slow\n", ""),
            ("12", "much\n", ""),
        ],
    );
    script(
        &test_box,
        "solution",
        "read a b\ncase $a in wrong) echo 1;; fail) echo why it failed >&2; exit 3;; slow) sleep 100;; much) yes;; *) echo $((a + b));; esac",
    );
    let output = judge(
        &test_box,
        &["-w1", "--max-output=1K", "-j2"],
        &["./solution"],
    );
    assert_eq!(output.code, 1);
    let lines: Vec<Vec<&str>> = output
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let verdicts: Vec<_> = lines[1..7]
        .iter()
        .map(|words| (words[0], words[1]))
        .collect();
    assert_eq!(
        verdicts,
        [
            ("1", "OK"),
            ("2", "OK"),
            ("9", "WA"),
            ("10", "RE"),
            ("11", "TL"),
            ("12", "OL")
        ],
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("word 1 is '1', not '0'"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.ends_with(
            "6 tests: 2 OK, 1 WA, 1 TL, 1 OL, 1 RE\nstandard error of 10:\n  why it failed\n"
        ),
        "{}",
        output.stdout
    );
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn verdicts_are_written_for_programs() {
    let test_box = TestBox::new();
    tests(&test_box, &[("a", "1\n", "1\n"), ("b", "1\n", "2\n")]);
    script(&test_box, "solution", "cat");
    let output = judge(
        &test_box,
        &["--json=-", "--csv=out.csv", "--junit=out.xml"],
        &["./solution"],
    );
    let json: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(
        (&json["passed"], &json["tests"][1]["verdict"]),
        (&1.into(), &"WA".into())
    );
    let csv = fs::read_to_string(test_box.out().join("out.csv")).unwrap();
    assert!(csv.contains("\r\na,OK,"), "{csv}");
    let xml = fs::read_to_string(test_box.out().join("out.xml")).unwrap();
    assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
    let exact = judge(&test_box, &["--exact"], &["cat"]);
    assert!(exact.stdout.contains("1 OK, 1 WA"), "{}", exact.stdout);
    fs::write(test_box.out().join("tests/b.ans"), "1.0000001").unwrap();
    let floats = judge(&test_box, &["--floats=1e-6"], &["cat"]);
    assert_eq!((floats.code, floats.stderr.as_str()), (0, ""));
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_checker_judges_in_a_box_of_its_own() {
    let test_box = TestBox::new();
    tests(
        &test_box,
        &[
            ("1", "ok\n", "x\n"),
            ("2", "wa\n", "x\n"),
            ("3", "pe\n", ""),
            ("4", "die\n", ""),
        ],
    );
    script(&test_box, "solution", "touch left; cat");
    script(
        &test_box,
        "check",
        "[ ! -e left ] || exit 3\ncmp -s $1 $2 || exit 3\nread x < $2\n\
         case $x in ok) exit 0;; wa) echo 'wrong answer: no good' >&2; exit 1;; pe) exit 2;; *) kill -9 $$;; esac",
    );
    let output = judge(&test_box, &["--checker=./check"], &["./solution"]);
    assert_eq!(output.code, 1);
    for (verdict, words) in [
        ("OK", ""),
        ("WA", "wrong answer: no good"),
        ("PE", ""),
        ("XX", "checker: "),
    ] {
        let line = output
            .stdout
            .lines()
            .find(|line| line.contains(verdict))
            .unwrap();
        assert!(line.contains(words), "{}", output.stdout);
    }
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_is_missing_is_told_before_anything_runs() {
    let test_box = TestBox::new();
    tests(&test_box, &[("1", "", "")]);
    for (args, words) in [
        (
            &["test", "--in=tests/*.in", "--out=tests/*.no", "cat"][..],
            "test '1' has no answer",
        ),
        (
            &["test", "--in=no/*.in", "--out=tests/*.ans", "cat"],
            "cannot read the directory no",
        ),
        (
            &["test", "--in=tests/*.in", "--out=tests/*.ans", "./no"],
            "no file './no'",
        ),
        (&["test", "--in=tests/*.in", "cat"], "--out is missing"),
        // The shell has spread the patterns.
        (&["test", "--in", "tests/1.in", "tests/1.ans"], "in quotes"),
        (
            &["test", "--in=tests/1.in", "--out=tests/1.ans", "cat"],
            "in quotes",
        ),
        (
            &["test", "--in=tests/*.in", "--out=tests/*.ans", "tests/1.in"],
            "'tests/1.in' is not executable",
        ),
        (
            &["test", "--in=tests/*.in", "--checker=./no", "cat"],
            "--checker: cannot read ./no",
        ),
        (
            &[
                "test",
                "--in=tests/*.in",
                "--out=tests/*.ans",
                "--memory=64M",
                "cat",
            ],
            "needs control groups",
        ),
        (&["pair", "--", "cat"], "two programs are needed"),
    ] {
        let output = run(&test_box, args);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""));
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn two_programs_talk_and_people_are_told_what_came_of_it() {
    let test_box = TestBox::new();
    script(
        &test_box,
        "player",
        "low=1; high=100\nwhile :; do mid=$(((low + high) / 2)); echo $mid; read x || exit 1\n\
        case $x in less) high=$((mid - 1));; more) low=$((mid + 1));; *) exit 0;; esac; done",
    );
    script(
        &test_box,
        "judge",
        "n=0\nwhile read x; do n=$((n + 1))\n\
        if [ $x -eq $1 ]; then echo yes; echo \"found after $n\" >&2; exit 0; fi\n\
        [ $x -gt $1 ] && echo less || echo more; done; exit 1",
    );
    let game = [
        "pair",
        "-p20",
        "-w20",
        "--transcript=said",
        "--",
        "./player",
        "--",
        "./judge",
        "42",
    ];
    let output = run(&test_box, &game);
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (0, ""),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("B: found after 7"),
        "{}",
        output.stdout
    );
    let said = fs::read_to_string(test_box.out().join("said")).unwrap();
    assert!(
        said.contains(" A -> B: 50\\n\n") && said.contains(" B -> A: yes\\n\n"),
        "{said}"
    );
    // It dies early, and its partner cannot go on.
    script(&test_box, "early", "echo 1; kill -SEGV $$");
    let output = run(
        &test_box,
        &[
            "pair", "-p20", "-w20", "--", "./early", "--", "./judge", "42",
        ],
    );
    assert_eq!(output.code, 1);
    assert!(output.stdout.ends_with("cause: A\n"), "{}", output.stdout);
    // Both wait.
    script(&test_box, "waits", "read x");
    let output = run(
        &test_box,
        &["pair", "-p20", "-w1", "--", "./waits", "--", "./waits"],
    );
    assert_eq!(output.code, 1);
    assert!(
        output
            .stdout
            .contains("\ndeadlock: A and B waited until the time was over, "),
        "{}",
        output.stdout
    );
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_manager_talks_to_several_by_further_descriptors() {
    let test_box = TestBox::new();
    script(&test_box, "half", "read x; echo $((x * $1))");
    script(
        &test_box,
        "manager",
        "echo 7 >&4; echo 8 >&6; read a <&3; read b <&5; echo \"$a $b\" >&2; [ \"$a $b\" = '14 24' ]",
    );
    let args = [
        "pair",
        "-p20",
        "-w20",
        "--json=-",
        "--",
        "./half",
        "2",
        "--",
        "./half",
        "3",
        "--",
        "./manager",
    ];
    let output = run(&test_box, &args);
    assert_eq!(output.code, 0, "{}", output.stdout);
    let result = result_of(output.stdout.trim_end());
    assert_eq!(result["steps"][2]["stderr"]["text"], "14 24\n");
    assert_eq!(
        result["together"][0]["steps"],
        serde_json::json!(["A", "B", "C"])
    );
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn solutions_have_names_inside_and_one_that_never_began_says_why() {
    let test_box = TestBox::new();
    tests(&test_box, &[("1", "", "box\n")]);
    let named = judge(&test_box, &[], &["id", "-un"]);
    named.assert_success();
    let without = judge(
        &test_box,
        &["-detc="],
        &["sh", "-c", "test ! -e /etc && echo box"],
    );
    without.assert_success();
    script(&test_box, "solution", "");
    fs::write(test_box.out().join("solution"), "#!/opt/none\n").unwrap();
    let never = judge(&test_box, &[], &["./solution"]);
    assert!(never.stdout.contains("'/opt/none'"), "{never:?}");
}
