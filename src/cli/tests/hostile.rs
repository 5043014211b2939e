//! What is refused, with which words, and what nobody would type.

use std::os::unix::ffi::OsStringExt;

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
            "option '--std=x' is ambiguous; possibilities: '--stdin' '--stdout'",
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
        ("exce -t1 prog", "'exce' is not a verb: there is only exec;"),
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
fn what_is_no_text_survives_as_a_path_and_is_named_as_a_number() {
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let request = parse([
        bytes(b"isolate"),
        bytes(b"--stdin=\xff=\xfe"),
        bytes(b"-o\xfd"),
        bytes(b"-M"),
        bytes(b"\xfc"),
        bytes(b"--run"),
        bytes(b"\xff"),
        bytes(b"--"),
        bytes(b"-\xff"),
    ])
    .unwrap();
    assert_eq!(request.stdin, Some(bytes(b"\xff=\xfe").into()));
    assert_eq!(request.stdout, Some(bytes(b"\xfd").into()));
    assert_eq!(request.meta, Some(MetaTarget::File(bytes(b"\xfc").into())));
    assert_eq!(request.program, [bytes(b"\xff"), bytes(b"-\xff")]);
    for (word, expected) in [
        (&b"-t\xff"[..], "--time: '\u{fffd}' is not a time"),
        (b"-\xff", "invalid option -- '\u{fffd}'"),
        (b"--\xff=1", "unrecognized option '--\u{fffd}=1'"),
        (b"\xff", "'\u{fffd}' is not a verb"),
        (b"--a\nb\x1b", "unrecognized option '--a\\nb\\u{1b}'"),
    ] {
        let Err(CliError::Usage(message)) = parse([bytes(b"\xff"), bytes(word)]) else {
            panic!("{expected}");
        };
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn long_words_and_long_lines_are_read_like_short_ones() {
    let long = "9".repeat(100_000);
    for line in [
        &long,
        &format!("-{long}"),
        &format!("--{long}"),
        &format!("--time={long}"),
    ] {
        assert!(mistake(line).len() > 0, "{}", &line[..10]);
    }
    assert_eq!(
        parse_line(&format!("--run {long}")).unwrap().program,
        [long.as_str()]
    );
    let many = parse_line(&("--run ".to_owned() + &"-v x ".repeat(20_000))).unwrap();
    assert_eq!((many.verbosity, many.program.len()), (u8::MAX, 20_000));
}

#[test]
fn no_command_line_makes_the_parser_panic() {
    const TOKENS: &[&[u8]] = &[
        b"",
        b"-",
        b"--",
        b"---",
        b"--=",
        b"--=x",
        b"-=",
        b"exec",
        b"--run",
        b"--init",
        b"--version",
        b"-p",
        b"-p=5",
        b"-p5",
        b"--processes",
        b"--processes=",
        b"--processes=7",
        b"--time=",
        b"-t",
        b"1",
        b"1.5s",
        b"-b",
        b"-b0",
        b"-svp",
        b"-sv\xff",
        b"--s",
        b"--cg",
        b"--cg-mem=1",
        b"--cg-",
        b"--env==x",
        b"-E",
        b"A=\xff",
        b"-d",
        b"etc:maybe",
        b"a=/b:\xff",
        b"--dir",
        b"--stderr=\xff",
        b"--stderr-to-stdout",
        b"-r",
        b"--as-uid=1",
        b"--as-gid",
        b"-q",
        b"1,1",
        b"-h",
        b"--help",
        b"-M-",
        b"\xff\xfe",
        b"-\xc3",
        b"--\xc3\xa9",
        b"--config",
        b"-e",
        b"prog",
        b"\0",
        b"--meta=\0",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let (mut requests, mut usage) = (0, 0);
    for _ in 0..20_000 {
        let words = (0..=next(7)).map(|_| OsString::from_vec(TOKENS[next(TOKENS.len())].to_vec()));
        match parse(words) {
            Ok(_) => requests += 1,
            Err(CliError::Usage(message)) => {
                usage += 1;
                assert_eq!(message.lines().count(), 2, "{message}");
            }
            Err(CliError::Help { .. }) => {}
        }
    }
    assert!(requests > 100 && usage > 1000, "{requests} {usage}");
}
