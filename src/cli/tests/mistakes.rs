//! What is refused and in which words, and help.

use super::page::Form;
use super::*;

#[test]
fn mistakes_in_options_read_as_getopt_says_them() {
    for (line, expected) in [
        ("--x", "unrecognized option '--x'"),
        ("--x=5", "unrecognized option '--x=5'"),
        ("---", "unrecognized option '---'"),
        ("--=", "unrecognized option '--='"),
        ("--=x", "unrecognized option '--=x'"),
        (
            "--timer=1",
            "unrecognized option '--timer=1'; did you mean --time?",
        ),
        (
            "exec --timeout 1 prog",
            "unrecognized option '--timeout'; did you mean --wall-time?",
        ),
        (
            "exec --cgmem=64M prog",
            "unrecognized option '--cgmem=64M'; did you mean --cg-mem?",
        ),
        (
            "--Init",
            "unrecognized option '--Init'; did you mean --init?",
        ),
        (
            "--inti",
            "unrecognized option '--inti'; did you mean --init?",
        ),
        (
            "--conf=x",
            "unrecognized option '--conf=x'; did you mean --config?",
        ),
        ("--hel", "unrecognized option '--hel'; did you mean --help?"),
        ("exec --run prog", "unrecognized option '--run'"),
        (
            "exec --memory 64MB prog",
            "--memory: '64MB' can mean two sizes: use 64M, or 64MiB, for powers of 1024",
        ),
        (
            "exec --cg-mem 64XB prog",
            "--cg-mem: '64XB' is not a size: use KiB as a bare number up to 2147483647, or a suffix as in 512K, 64M, 1.5G",
        ),
        (
            "exec -p 4 prog",
            "--processes: its value is glued to it, as in -p4 or --processes=4; here '4' would be the program",
        ),
        (
            "test --processes 4 ./prog",
            "--processes: its value is glued to it, as in -p4 or --processes=4; here '4' would be the program",
        ),
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
        ("", "no command given. To run a program in a sandbox:"),
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
            "'exce' is not a verb; did you mean exec? (verbs are exec, ",
        ),
        (
            "./sum x",
            "'./sum' is not a verb: to run a program, isolate-run exec -- ./sum …",
        ),
        ("helpp", "'helpp' is not a verb; did you mean help? (verbs "),
        (
            "help exce",
            "help: 'exce' is not a verb; did you mean exec? verbs are ",
        ),
        (
            "help exec broker",
            "help takes one verb, but 'broker' was given",
        ),
        (
            "-v help",
            "no command given, but 'help': a verb is the first word",
        ),
        (
            "config",
            "config: no command given: there are show, get, set,",
        ),
        (
            "config x",
            "config: 'x' is not a command; there are show, get, set,",
        ),
        ("config get", "config get takes KEY, but 0 words were given"),
        ("config import ''", "config import: the name is empty"),
        (
            "config import a b",
            "config import takes [FILE], but 2 words",
        ),
        ("config import a --init", "unrecognized option '--init'"),
        (
            "-v config import a",
            "no command given, but 'config': a verb is the first word, as in isolate-run config …",
        ),
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
    let (short, long) = (Form::Short, Form::Long);
    for (line, code, name, form) in [
        ("--help", 2, "", long),
        ("-h", 2, "", short),
        ("-vh --init", 2, "", short),
        ("--run -h x", 2, "", short),
        ("--help --time=x", 2, "", long),
        ("--time=x -h --help", 2, "", short),
        ("exec --help", 0, "exec", long),
        ("exec -h", 0, "exec", short),
        ("config --help", 0, "config", long),
        ("config import x -h", 0, "config", short),
        ("help", 0, "", long),
        ("help exec", 0, "exec", long),
        ("help config import", 0, "config", long),
        ("help broker", 0, "broker", long),
        ("help -h", 0, "help", short),
    ] {
        match parse_line(line) {
            Err(CliError::Help { help, exit_code }) => {
                assert_eq!(exit_code, code, "{line}");
                assert_eq!((help.verb.name, help.form), (name, form), "{line}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }
    let own = parse_line("exec prog --help").unwrap();
    assert_eq!(own.run.argv, ["prog", "--help"]);
}
