//! What is refused and in which words, and help.

use super::*;

#[test]
fn mistakes_in_options_read_as_getopt_says_them() {
    for (line, expected) in [
        ("--x", "unrecognized option '--x'"),
        ("--x=5", "unrecognized option '--x=5'"),
        ("---", "unrecognized option '---'"),
        ("--=", "unrecognized option '--='"),
        ("--=x", "unrecognized option '--=x'"),
        ("--timer=1", "unrecognized option '--timer=1'"),
        ("--Init", "unrecognized option '--Init'"),
        ("--conf=x", "unrecognized option '--conf=x'"),
        ("--hel", "unrecognized option '--hel'"),
        ("exec --run prog", "unrecognized option '--run'"),
        ("-z", "invalid option -- 'z'"),
        ("-sé", "invalid option -- 'é'"),
        ("-s-v", "invalid option -- '-'"),
        ("-=", "invalid option -- '='"),
        ("--run --time", "option '--time' requires an argument"),
        ("--run --tim", "option '--time' requires an argument"),
        ("-b", "option requires an argument -- 'b'"),
        ("-sb", "option requires an argument -- 'b'"),
        ("--silent=1", "option '--silent' doesn't allow an argument"),
        ("--run= x", "option '--run' doesn't allow an argument"),
        ("--sil=", "option '--silent' doesn't allow an argument"),
        (
            "--w=1",
            "option '--w=1' is ambiguous; possibilities: '--wait' '--wall-time'",
        ),
        (
            "--std=x",
            "option '--std=x' is ambiguous; possibilities: '--stdin' '--stdout' '--stderr' \
             '--stderr-to-stdout'",
        ),
        (
            "--as-",
            "option '--as-' is ambiguous; possibilities: '--as-uid' '--as-gid'",
        ),
        (
            "--v",
            "option '--v' is ambiguous; possibilities: '--version' '--verbose'",
        ),
        (
            "--me",
            "option '--me' is ambiguous; possibilities: '--mem' '--meta'",
        ),
    ] {
        assert_eq!(mistake(line), expected, "{line}");
    }
    for option in [
        "silent",
        "share-net",
        "special-files",
        "stack",
        "stdin",
        "syscalls",
    ] {
        assert!(
            mistake("--s").contains(&format!(" '--{option}'")),
            "{option}"
        );
    }
}

#[test]
fn mistakes_in_values_name_the_option() {
    for (line, expected) in [
        ("--run --time=abc p", "--time: 'abc' is not a time: "),
        ("--run -tabc -t1 p", "--time: 'abc' is not a time: "),
        ("--run --time= p", "--time: '' is not a time: "),
        ("--run -t -1 p", "--time: '-1' is not a time: "),
        ("--run -x1y p", "--extra-time: '1y' is not a time: "),
        ("--run -w nan p", "--wall-time: 'nan' is not a time: "),
        ("--run -m-1 p", "--mem: '-1' is not a size: "),
        ("--run -m= p", "--mem: '=' is not a size: "),
        (
            "--run -k 2147483648 p",
            "--stack: '2147483648' is not a size: ",
        ),
        ("--run -p=5 p", "--processes: '=5' is not a number "),
        ("--run --processes= p", "--processes: '' is not a number "),
        ("--run -px p", "--processes: 'x' is not a number "),
        ("--init -b-1", "--box-id: '-1' is not a number "),
        ("--init -b ''", "--box-id: '' is not a number "),
        (
            "--init --box-id=2147483648",
            "--box-id: '2147483648' is not a number ",
        ),
        ("--init --as-uid=root", "--as-uid: 'root' is not a number "),
        ("--init -q 5", "--quota: '5' is not a quota: "),
        (
            "--run --syscalls=0x1 p",
            "--syscalls: '0x1' is not a number ",
        ),
        ("--run --stdin= p", "--stdin: the name is empty"),
        ("--run -o '' p", "--stdout: the name is empty"),
        (
            "--run --stderr= --stderr-to-stdout p",
            "--stderr: the name is empty",
        ),
        ("--run --chdir= p", "--chdir: the name is empty"),
        ("--run -M '' p", "--meta: the name is empty"),
        ("--init --config=", "--config: the name is empty"),
        (
            "--run --env==x p",
            "--env: the name of the variable is empty",
        ),
        ("--run -E '' p", "--env: the name of the variable is empty"),
        ("--run -d a=b p", "--dir: 'a=b' is not a directory rule: "),
        ("--run --dir= p", "--dir: '' is not a directory rule: "),
        ("exec -t x p", "--time: 'x' is not a time: "),
    ] {
        assert!(
            mistake(line).starts_with(expected),
            "{line}: {}",
            mistake(line)
        );
    }
}

#[test]
fn options_that_do_not_go_together_are_named() {
    for (line, expected) in [
        ("", "no command given"),
        ("-b 1 --", "no command given"),
        ("--init --run", "--init and --run exclude each other"),
        (
            "--cleanup --init",
            "--init and --cleanup exclude each other",
        ),
        (
            "--version --run x",
            "--run and --version exclude each other",
        ),
        ("--run", "--run: no program given"),
        ("--run -p --", "--run: no program given"),
        ("exec", "exec: no program given"),
        ("exec -t 1 --", "exec: no program given"),
        ("--init x", "--init takes no program, but 'x' was given"),
        (
            "--cleanup -- -v",
            "--cleanup takes no program, but '-v' was given",
        ),
        (
            "exce -t1 prog",
            "'exce' is not a verb: there are exec and config;",
        ),
        ("config", "config: no command given: there is only import"),
        (
            "config x",
            "config: 'x' is not a command: there is only import",
        ),
        ("config import", "config import: no file given;"),
        ("config import ''", "config import: the name is empty"),
        ("config import a b", "config import takes one file, but 'b'"),
        ("config import a --init", "unrecognized option '--init'"),
        ("-v config import a", "no command given, but 'config'"),
        ("''", "'' is not a verb"),
        ("-", "'-' is not a verb"),
        ("-t1 prog", "no command given, but 'prog'"),
        ("-v exec prog", "no command given, but 'exec'"),
        ("--run --cg-mem=5 x", "--cg-mem needs --cg"),
        ("--init --cg-mem=5", "--cg-mem needs --cg"),
        (
            "--init --as-uid=5",
            "--as-uid and --as-gid must be used either both or none",
        ),
        (
            "exec --as-gid=5 x",
            "--as-uid and --as-gid must be used either both or none",
        ),
    ] {
        assert!(
            mistake(line).starts_with(expected),
            "{line}: {}",
            mistake(line)
        );
    }
}

#[test]
fn a_hint_names_the_help_that_the_caller_can_type() {
    for (argv, hint) in [
        (&["/usr/bin/isolate", "--x"][..], "Try 'isolate --help' for"),
        (
            &["isolate-run", "exec"],
            "Try 'isolate-run exec --help' for",
        ),
        (
            &["isolate-run", "config"],
            "Try 'isolate-run config --help' for",
        ),
        (&["", "--x"], "Try 'isolate-run --help' for"),
        (&["/", "--x"], "Try 'isolate-run --help' for"),
        (&[], "Try 'isolate-run --help' for"),
    ] {
        let Err(CliError::Usage(message)) = parse(argv.iter().map(OsString::from)) else {
            panic!("{argv:?}");
        };
        let lines: Vec<_> = message.lines().collect();
        assert_eq!(lines.len(), 2, "{message}");
        assert!(lines[1].starts_with(hint), "{message}");
    }
}

#[test]
fn help_is_an_answer_and_its_exit_code_depends_on_the_spelling() {
    for (line, code, part) in [
        ("--help", 2, "--stderr-to-stdout"),
        ("-h", 2, "Examples:"),
        ("-vh --init", 2, "exec [OPTIONS]"),
        ("--run -h x", 2, "--print-cg-root"),
        ("--help --time=x", 2, "--print-cg-root"),
        ("exec --help", 0, "isolate-run exec [OPTIONS]"),
        ("exec -h", 0, "--inherit-fds"),
        ("config --help", 0, "isolate-run config import FILE"),
        ("config import x -h", 0, "- is standard input"),
    ] {
        match parse_line(line) {
            Err(CliError::Help { text, exit_code }) => {
                assert_eq!(exit_code, code, "{line}");
                assert!(text.contains(part), "{line}: {text}");
                assert!(text.lines().all(|line| line.len() <= 100), "{text}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }
    let own = parse_line("exec prog --help").unwrap();
    assert_eq!(own.run.argv, ["prog", "--help"]);
}
