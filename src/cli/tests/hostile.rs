//! Lines that nobody would type: bytes that are not text, long words, random words.

use std::os::unix::ffi::OsStringExt;

use super::*;

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
    .map(Line::of)
    .unwrap();
    assert_eq!(request.run.stdin, Some(bytes(b"\xff=\xfe").into()));
    assert_eq!(request.run.stdout, Some(bytes(b"\xfd").into()));
    assert_eq!(
        request.common.meta,
        Some(OutputTarget::File(bytes(b"\xfc").into()))
    );
    assert_eq!(request.run.argv, [bytes(b"\xff"), bytes(b"-\xff")]);
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
        assert!(!mistake(line).is_empty(), "{}", &line[..10]);
    }
    assert_eq!(
        parse_line(&format!("--run {long}")).unwrap().run.argv,
        [long.as_str()]
    );
    let many = parse_line(&("--run ".to_owned() + &"-v x ".repeat(20_000))).unwrap();
    assert_eq!(
        (many.common.verbosity, many.run.argv.len()),
        (u8::MAX, 20_000)
    );
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
    for _ in 0..3_000 {
        let words = (0..=next(7)).map(|_| OsString::from_vec(TOKENS[next(TOKENS.len())].to_vec()));
        match parse(words) {
            Ok(_) => requests += 1,
            Err(CliError::Usage(message)) => {
                usage += 1;
                let is_hint = message.starts_with("no command given. ");
                assert!(is_hint || message.lines().count() == 2, "{message}");
            }
            Err(CliError::Help { .. }) => {}
        }
    }
    assert!(requests > 50 && usage > 1000, "{requests} {usage}");
}
