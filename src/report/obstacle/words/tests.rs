use super::*;
use crate::plan::tests::{nowhere, plan};

fn missing(path: &str, missing: &str) -> Found {
    Found::Missing {
        path: Text::of(Path::new(path)),
        missing: Text::of(Path::new(missing)),
        link: None,
    }
}

fn words(line: &str, errno: i32, found: Found) -> String {
    let arguments: Vec<_> = line.split(' ').collect();
    let plan = plan(&arguments, nowhere()).unwrap();
    in_words(&Obstacle::Execution { errno, found }, &plan)
}

#[test]
fn what_does_not_exist_inside_is_named_with_the_rule_that_would_show_it() {
    for (line, path, part, said) in [
        (
            "exec ./sum",
            "/box/sum",
            "/box/sum",
            "--dir=src=\"$PWD\" shows it as /src, and /src/sum is the program",
        ),
        (
            "exec sum",
            "/usr/local/bin/sum",
            "/usr/local/bin/sum",
            "no such program in /usr/local/bin, /usr/bin, /bin;",
        ),
        (
            "exec -p -- 4",
            "/usr/local/bin/4",
            "/usr/local/bin/4",
            "write it without a blank, as in -p4",
        ),
        (
            "--run sum",
            "/box/sum",
            "/box/sum",
            "--run does not look along PATH",
        ),
        (
            "--run ./sum",
            "/box/sum",
            "/box/sum",
            "'./sum': '/box/sum' does not exist in the sandbox",
        ),
        (
            "exec /home/a/b/c",
            "/home/a/b/c",
            "/home",
            "'/home' does not exist in the sandbox; if it exists outside, --dir=home/a/b shows the directory",
        ),
        (
            "exec /x",
            "/x",
            "/x",
            "if it exists outside, --dir=x shows the file",
        ),
        (
            "--run /etc/x/y",
            "/etc/x/y",
            "/etc",
            "; --etc=minimal shows",
        ),
        (
            "exec /l",
            "/l/../home/x/y",
            "/l/../home",
            "'/l/../home' does not exist in the sandbox; a directory rule (--dir) can show it",
        ),
        (
            "exec /usr/bin/x",
            "/usr/bin/x",
            "/usr/bin/x",
            "'/usr/bin/x' does not exist in the sandbox nor outside of it",
        ),
        (
            "exec -d s=/t/src /s/x",
            "/s/x",
            "/s/x",
            "; outside it would be '/t/src/x'",
        ),
    ] {
        let told = words(line, libc::ENOENT, missing(path, part));
        assert!(told.contains(said), "{line}: {told}");
    }
    let of = |path: &str| Text::of(Path::new(path));
    let link = Found::Missing {
        path: of("/srv/java/bin/java"),
        missing: of("/srv/java"),
        link: Some((of("/usr/bin/java"), of("/srv/java/bin/java"))),
    };
    let told = words("exec java", libc::ENOENT, link);
    let said = "cannot execute 'java': '/usr/bin/java' is a symbolic link to '/srv/java/bin/java', and '/srv/java' \
                does not exist in the sandbox; if it exists outside, --dir=srv/java/bin shows the directory";
    assert_eq!(told, said);
}

#[test]
fn what_is_there_and_is_no_program_is_told_by_what_it_is() {
    let of = |path: &str| Text::of(Path::new(path));
    let helper = |helper: &str, kind, is_missing| Found::Helper {
        program: of("/box/x"),
        helper: of(helper),
        kind,
        is_missing,
    };
    for (found, said) in [
        (Found::Directory(of("/usr")), "'/usr' is a directory"),
        (
            Found::Mode(of("/box/x"), 0o644),
            "whose mode is 0644: chmod a+rx",
        ),
        (Found::Closed(of("/d")), "may not look into '/d'"),
        (Found::NoDirectory(of("/box/x")), "'/box/x' is no directory"),
        (
            Found::NoExecMount(of("/box/x")),
            "mounted noexec outside, at the source of the rule for 'box'",
        ),
        (
            helper("/opt/py", Helper::Interpreter, true),
            "'/opt/py' as the interpreter in its first line, which does not exist",
        ),
        (
            helper("/opt/py", Helper::Interpreter, true),
            "--dir=opt/py shows",
        ),
        (
            helper("/bin/sh\r", Helper::Interpreter, true),
            "carriage return",
        ),
        (
            helper("/lib/ld", Helper::Loader, true),
            "or link the program statically",
        ),
        (
            helper("/box/y", Helper::Interpreter, false),
            "which the user of the box may not execute",
        ),
        (
            Found::Format(of("/box/x"), Format::Empty),
            "'/box/x' is empty",
        ),
        (Found::Format(of("/box/x"), Format::Machine(183)), "aarch64"),
        (
            Found::Format(of("/box/x"), Format::Unknown),
            "neither an ELF program nor a script",
        ),
        (Found::Unclear, "Permission denied"),
    ] {
        let told = words("--run ./x", libc::EACCES, found);
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn a_redirection_that_nobody_serves_is_named() {
    let arguments = [
        "--run",
        "--stdin=/f/a",
        "--stdout=/f/b",
        "--stderr=/f/c",
        "x",
    ];
    let plan = plan(&arguments, nowhere()).unwrap();
    for (stream, said) in [
        (
            Stream::Input,
            "standard input '/f/a' until the end: if that is a FIFO, nobody has opened it for writing",
        ),
        (Stream::Output, "standard output '/f/b' until"),
        (Stream::Error, "standard error '/f/c' until"),
    ] {
        let told = in_words(&Obstacle::Opening(stream), &plan);
        assert!(told.contains(said), "{told}");
    }
}
