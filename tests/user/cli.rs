//! Command lines that are refused, and those that only tell something. No privileges.

use crate::support;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Output, finish, finish_with_input, isolate_command};
use nix::unistd::geteuid;
use tempfile::TempDir;

/// Runs the program with the words of a line, in an empty directory that must stay empty.
#[track_caller]
fn called(line: &str) -> Output {
    let words: Vec<&str> = line.split_whitespace().collect();
    called_with(&words)
}

#[track_caller]
fn called_with<S: AsRef<OsStr>>(words: &[S]) -> Output {
    let directory = TempDir::new().unwrap();
    let mut command = isolate_command(words);
    command.current_dir(directory.path());
    let output = finish(command);
    let made = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(made, 0, "something was made: {output:?}");
    output
}

#[test]
fn a_wrong_command_line_is_one_message_a_hint_and_exit_code_2() {
    for (line, message) in [
        ("--", "no command given"),
        ("--nonsense", "unrecognized option '--nonsense'"),
        ("-Z", "invalid option -- 'Z'"),
        ("-z --init", "invalid option -- 'z'"),
        ("--init --run", "--init and --run exclude each other"),
        (
            "--init --cleanup",
            "--init and --cleanup exclude each other",
        ),
        ("--version --check-config", "exclude each other"),
        ("--run", "--run: no program given"),
        ("--run --", "--run: no program given"),
        ("exec", "exec: no program given"),
        ("exec -v --", "exec: no program given"),
        (
            "--init program",
            "--init takes no program, but 'program' was given",
        ),
        ("--cleanup -- program", "--cleanup takes no program"),
        ("program", "'program' is not a verb"),
        ("echo hello", "isolate-run exec -- echo …"),
        ("cleanup", "did you mean --cleanup?"),
        ("version", "did you mean --version?"),
        ("test --in a --ans b", "did you mean --out?"),
        ("status --watch 0.5", "--watch=0.5"),
        ("doctor swap", "doctor --only=swap"),
        ("config check", "did you mean show?"),
        (
            "exec --dir . -- true",
            "$PWD\" shows the directory that you are in",
        ),
        (
            "exec --dir src=. -- true",
            "$PWD\" is the directory that you are in",
        ),
        (
            "test --in=* --out=* --json -- true",
            "--json: it wants the name of a file",
        ),
        ("config", "config: no command given"),
        ("config export file", "config: 'export' is not a command"),
        ("config get", "config get takes KEY, but 0 words were given"),
        (
            "config import a b",
            "config import takes [FILE], but 2 words",
        ),
        ("--c", "option '--c' is ambiguous"),
        ("--s", "option '--s' is ambiguous"),
        ("--init=1", "option '--init' doesn't allow an argument"),
        ("--run --time", "option '--time' requires an argument"),
        ("--run -t", "option requires an argument -- 't'"),
        ("--run a --cg-mem=5", "--cg-mem needs --cg"),
        (
            "--init --as-uid=5",
            "--as-uid and --as-gid must be used either both or none",
        ),
        (
            "--init --as-gid=5",
            "--as-uid and --as-gid must be used either both or none",
        ),
    ] {
        let output = called(line);
        output.assert_refused(2, message);
        assert_eq!(output.stderr.lines().count(), 2, "{line}: {output:?}");
    }
}

#[test]
fn without_any_word_there_is_a_hint_of_what_to_do_first() {
    let output = called("");
    output.assert_refused(2, "no command given");
    output.assert_refused(2, "\n  isolate-run exec -t 1 ");
    output.assert_refused(2, "isolate-run help");
    assert!(output.stderr.lines().count() < 10, "{output:?}");
}

#[test]
fn a_value_that_cannot_be_is_refused_with_the_options_name() {
    let mut values = vec![
        ("--box-id", vec!["-1", "a", "2147483648", "1.5", "0x10", ""]),
        ("--time", vec!["", "a", "-1", "nan", "inf", "1x", "1e30"]),
        ("--wall-time", vec!["-0.1", "1 hour"]),
        ("--extra-time", vec!["x"]),
        ("--mem", vec!["", "-5", "1Q", "99999999999999999999"]),
        ("--open-files", vec!["-1", "many", "1.5"]),
        ("--processes", vec!["-1", "a", "99999999999"]),
        ("--quota", vec!["5", "5,", ",5", "a,b", "1,2,3", "-1,5"]),
        ("--syscalls", vec!["-1", "all", "1.0"]),
        ("--env", vec!["", "=value"]),
        ("--stdin", vec![""]),
        ("--chdir", vec![""]),
        ("--meta", vec![""]),
    ];
    values.push((
        "--dir",
        vec![
            "",
            "=/usr",
            "..",
            "a/../b",
            "a=b",
            "a=../b",
            "x:unknown",
            "x=proc:fs:tmp",
            "x=ext4:fs",
            "x=/y:tmp",
            "x:fs",
        ],
    ));
    for (option, values) in values {
        for value in values {
            let word = format!("{option}={value}");
            let output = called_with(&[word.as_str(), "--run", "--", "/bin/true"]);
            output.assert_refused(2, option);
        }
    }
}

#[test]
fn words_that_are_not_utf_8_are_refused_or_taken_but_never_a_panic() {
    let bytes = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let run = [OsString::from("--run"), "--".into(), bytes(b"/\xff\xfe")];
    for word in [
        &b"\xff"[..],
        b"-\xff",
        b"--\xff",
        b"--time=\xff",
        b"--box-id=\xff\xfe",
        b"--quota=\xff",
        b"--dir=\xff=\xff",
        b"--dir=a:\xff",
        b"-p\xff",
    ] {
        let output = called_with(&[&[bytes(word)], &run[..]].concat());
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn control_characters_of_a_command_line_do_not_reach_the_terminal() {
    let output = called_with(&["--\x1b[2J\x07"]);
    output.assert_refused(2, "unrecognized option");
    let bad = |c: char| c.is_control() && c != '\n';
    assert!(!output.stderr.contains(bad), "{output:?}");
}

#[test]
fn very_long_and_very_many_words_are_refused_as_well() {
    let long = "x".repeat(100_000);
    called_with(&[format!("--{long}")]).assert_refused(2, "unrecognized option");
    called_with(&[format!("--time={long}")]).assert_refused(2, "--time");
    let many = vec!["-v"; 10_000];
    called_with(&many).assert_refused(2, "no command given");
}

#[test]
fn the_version_begins_as_isolates() {
    for line in ["--version", "--vers", "-v --version"] {
        let output = called(line);
        output.assert_success();
        let version = env!("CARGO_PKG_VERSION");
        let first = output.stdout.lines().next().unwrap();
        assert_eq!(first, format!("The process isolator {version}"));
        assert_eq!(output.stderr, "");
    }
}

#[test]
fn help_is_on_standard_output_and_names_every_command() {
    let output = called("--help");
    assert_eq!((output.code, output.stderr.as_str()), (2, ""));
    for word in [
        "--init",
        "--run",
        "--cleanup",
        "--check-config",
        "--print-cg-root",
        "exec",
        "  config",
        "  help",
    ] {
        assert!(output.stdout.contains(word), "{word}");
    }
    let wide = output
        .stdout
        .lines()
        .find(|line| line.chars().count() > 100);
    assert_eq!(wide, None);
    let exec = called("exec --help");
    exec.assert_success();
    assert!(exec.stdout.contains("isolate-run exec [OPTIONS]"));
    assert_ne!(exec.stdout, output.stdout);
    let config = called("config --help");
    config.assert_success();
    assert!(config.stdout.contains("import [FILE]"));
    for (line, same) in [("help", &output), ("help exec", &exec)] {
        let told = called(line);
        told.assert_success();
        assert_eq!(told.stdout, same.stdout, "{line}");
    }
}

#[test]
fn short_help_fits_a_screen() {
    for (line, code) in [("-h", 2), ("exec -h", 0), ("config -h", 0)] {
        let output = called(line);
        assert_eq!((output.code, output.stderr.as_str()), (code, ""));
        assert!(output.stdout.lines().count() < 24, "{}", output.stdout);
        let is_wide = |line: &&str| line.chars().count() > 80;
        assert_eq!(output.stdout.lines().find(is_wide), None);
        assert!(!output.stdout.contains('\x1b'), "{}", output.stdout);
    }
}

/// `config import -` with this on standard input.
fn import(text: impl AsRef<[u8]>) -> Output {
    let command = isolate_command(&["config", "import", "-"]);
    finish_with_input(command, text.as_ref())
}

#[test]
fn a_configuration_of_isolate_becomes_toml() {
    let output = import("box_root = /srv/boxes\nbox0.cpus = 0\ncg_root = auto:/nowhere\n");
    output.assert_success();
    assert_eq!(
        output.stdout,
        "# Configuration of isolate-run, made by config import of standard input.\n\
         # What is not set has its default; isolate.toml shows every key.\n\
         # left out: line 3, cg_root: 'auto:/nowhere' names no cgroup (v2) below the root of its hierarchy \
         on this machine, so [cgroup] manager stays \"auto\"\n\n\
         [boxes]\nroot = \"/srv/boxes\" # line 1, box_root\n\n\
         [[pin]]\nboxes = 0 # line 2, box0.cpus\ncpus = \"0\" # line 2, box0.cpus\n"
    );
    let told = "isolate-run: left out: line 3, cg_root: 'auto:/nowhere' names no cgroup";
    assert!(output.stderr.starts_with(told), "{output:?}");
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("old");
    fs::write(&file, "num_boxes = 5\n").unwrap();
    let words = ["config".as_ref(), "import".as_ref(), file.as_os_str()];
    let output = finish(isolate_command(&words));
    output.assert_success();
    assert!(output.stdout.contains("count = 5 # line 1, num_boxes\n"));
}

#[test]
fn a_configuration_that_isolate_would_not_take_is_not_imported() {
    import("num_boxes = 5\nx = 1\n").assert_refused(2, "standard input:2: x: unknown key; ");
    import(b"\0\xff\n").assert_refused(2, "standard input:1: not UTF-8 text");
    import("#\n".repeat(1 << 20)).assert_refused(2, "standard input: too large");
    let none = called("config import none");
    none.assert_refused(2, "none: cannot open: No such file or directory\n");
    called("config import /").assert_refused(2, "/: not a regular file");
}

/// A copy of the program where every user finds it: the folder of the build may be closed.
fn copy_for_everybody() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    open(directory.path());
    let program = directory.path().join("isolate-run");
    fs::copy(support::binary(), &program).unwrap();
    open(&program);
    (directory, program)
}

#[test]
fn other_users_are_told_that_it_must_be_started_as_root() {
    let (directory, program) = copy_for_everybody();
    let nobodys = |line: &str| {
        let mut command = Command::new(&program);
        command.args(line.split(' ')).current_dir(directory.path());
        // Where one runs, this test wants none.
        command.env("ISOLATE_RUN_BROKER", directory.path().join("no-broker"));
        if geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        finish(command)
    };
    for (line, code) in [
        ("--init", 2),
        ("--run -- /bin/true", 2),
        ("--cleanup", 2),
        ("exec /bin/true", 125),
    ] {
        let output = nobodys(line);
        output.assert_refused(code, "Must be started as root");
        output.assert_refused(code, "systemctl enable --now isolate.socket");
    }
    for line in ["--as-uid=0 --as-gid=0 --init", "--config=/dev/null --init"] {
        nobodys(line).assert_refused(2, "Only root may");
    }
    let names = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(names, 1, "nothing was made beside the program");
    let meta = directory.path().join("meta");
    fs::write(&meta, "old").unwrap();
    fs::set_permissions(&meta, fs::Permissions::from_mode(0o666)).unwrap();
    nobodys("--meta=meta --run -- /bin/true").assert_refused(2, "Must be started as root");
    let told = fs::read_to_string(meta).unwrap();
    assert!(told.starts_with("status:XX\nmessage:Must be"), "{told}");
}

#[test]
fn the_configuration_can_be_checked_by_everybody() {
    let (directory, program) = copy_for_everybody();
    let config = directory.path().join("isolate.toml");
    let absent = "[[pin]]\nboxes = 0\ncpus = 65535\n";
    for (text, code) in [("", 0), ("[boxes]\nroots = 1\n", 2), (absent, 2)] {
        fs::write(&config, text).unwrap();
        let mut command = Command::new(&program);
        command.arg("--check-config").arg("--config").arg(&config);
        if geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        let output = finish(command);
        assert_eq!(output.code, code, "{output:?}");
        assert_eq!(output.stdout.contains("count = 1000"), code == 0);
        let said = "error: pin.cpus: CPU 65535 is not online on this machine, which has 0";
        assert_eq!(output.stderr.contains(said), text == absent, "{output:?}");
    }
}

#[test]
fn a_full_or_closed_standard_output_is_no_panic() {
    for redirection in ["1>&-", "1>/dev/full", "1>&- 2>&-", "0<&- 1>&- 2>&-"] {
        for option in ["--help", "--version", "--nonsense"] {
            let script = format!("exec \"$0\" {option} {redirection}");
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", &script]).arg(support::binary());
            let output = finish(shell);
            assert!([0, 2].contains(&output.code), "{script}: {output:?}");
        }
    }
}
