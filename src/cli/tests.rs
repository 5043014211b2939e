//! Whole command lines, as a caller writes them.

use std::ffi::OsStr;
use std::time::Duration;

use super::*;
use crate::dir_rule::DirRequest;
use crate::quantity::{BoxId, Bytes, DiskQuota, Ids};
use crate::request::{
    BoxChoice, EnvRule, Init, LimitRequest, OutputTarget, ProgramRequest, StderrRequest, Topic,
};

mod clients;
mod config;
mod hostile;
mod mistakes;

/// A command line that was read, taken apart. The parts of other commands are as if they had not
/// been given.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    command: Command,
    common: Common,
    run: ProgramRequest,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Command {
    Init,
    Run,
    Cleanup,
    Exec,
    Keep,
    Enter,
    CheckConfig,
    PrintCgRoot,
    Version,
}

/// The change that an option makes to a line without options.
type Change = fn(&mut Line);

/// A line with nothing but its command.
fn plain(command: Command) -> Line {
    Line {
        command,
        common: Common::default(),
        run: ProgramRequest {
            argv: Vec::new(),
            cg_timing: true,
            limits: LimitRequest::default(),
            quota: None,
            dirs: Vec::new(),
            no_default_dirs: false,
            full_env: false,
            env: Vec::new(),
            stdin: None,
            stdout: None,
            stderr: StderrRequest::Inherit,
            chdir: None,
            share_net: false,
            inherit_fds: false,
            tty_hack: false,
            special_files: false,
            syscalls: None,
        },
    }
}

impl Line {
    fn of(call: Call) -> Self {
        let (common, command) = match call {
            Call::Box(call) => (call.common, call.command),
            Call::Tell(Tell {
                topic,
                config,
                rootless: _,
                verbosity,
            }) => {
                let mut line = plain(match topic {
                    Topic::Version => Command::Version,
                    Topic::Config => Command::CheckConfig,
                    Topic::CgRoot => Command::PrintCgRoot,
                });
                (line.common.config, line.common.verbosity) = (config, verbosity);
                return line;
            }
            other => panic!("{other:?}"),
        };
        let (command, run) = match command {
            BoxCommand::Run(run) => (Command::Run, run),
            BoxCommand::Exec(run) => (Command::Exec, run),
            BoxCommand::Keep(run) => (Command::Keep, run),
            BoxCommand::Enter(run) => (Command::Enter, run),
            BoxCommand::Cleanup => (Command::Cleanup, plain(Command::Cleanup).run),
            BoxCommand::Init(Init { quota }) => {
                let run = plain(Command::Init).run;
                (Command::Init, ProgramRequest { quota, ..run })
            }
            _ => panic!("{command:?}"),
        };
        Self {
            command,
            common,
            run,
        }
    }
}

/// Parses a line whose words are separated by blanks; `''` stands for an empty word.
fn parse_line(line: &str) -> Result<Line, CliError> {
    let words = line.split_whitespace().map(|word| word.replace("''", ""));
    parse(
        std::iter::once("/usr/bin/isolate".to_owned())
            .chain(words)
            .map(OsString::from),
    )
    .map(Line::of)
}

/// The first line of a usage error.
fn mistake(line: &str) -> String {
    match parse_line(line) {
        Err(CliError::Usage(message)) => message.lines().next().unwrap_or_default().to_owned(),
        other => panic!("{line}: {other:?}"),
    }
}

fn program(words: &str) -> Vec<OsString> {
    words.split_whitespace().map(OsString::from).collect()
}

fn millis(value: u64) -> Option<Duration> {
    Some(Duration::from_millis(value))
}

fn kib(value: u64) -> Option<Bytes> {
    Some(Bytes(value * 1024))
}

fn dirs(rules: &str) -> Vec<DirRequest> {
    rules
        .split_whitespace()
        .map(|rule| DirRequest::parse(OsStr::new(rule)).unwrap())
        .collect()
}

fn set(name: &str, value: &str) -> EnvRule {
    EnvRule::Set(name.into(), value.into())
}

#[test]
fn every_command_is_recognized_anywhere_and_shortened() {
    for (line, command) in [
        ("--init", Command::Init),
        ("--ini", Command::Init),
        ("--init --init", Command::Init),
        ("--cleanup", Command::Cleanup),
        ("--cl", Command::Cleanup),
        ("--check-config", Command::CheckConfig),
        ("--che", Command::CheckConfig),
        ("--print-cg-root", Command::PrintCgRoot),
        ("--pri", Command::PrintCgRoot),
        ("--version", Command::Version),
        ("--vers", Command::Version),
        ("--version --", Command::Version),
    ] {
        assert_eq!(parse_line(line), Ok(plain(command)), "{line}");
    }
}

#[test]
fn every_option_of_a_run_lands_in_its_field() {
    let table: &[(&str, Change)] = &[
        ("", |_| ()),
        ("-b3", |r| {
            r.common.box_id = Some(BoxChoice::Number(BoxId(3)))
        }),
        ("-b 3", |r| {
            r.common.box_id = Some(BoxChoice::Number(BoxId(3)))
        }),
        ("--box-id=2147483647", |r| {
            r.common.box_id = Some(BoxChoice::Number(BoxId(2_147_483_647)))
        }),
        ("--box 0", |r| {
            r.common.box_id = Some(BoxChoice::Number(BoxId(0)))
        }),
        ("--cg", |r| r.common.cg = true),
        ("--cg --cg-mem 256000", |r| {
            (r.common.cg, r.run.limits.cg_mem) = (true, kib(256_000))
        }),
        ("--cg-mem=1G --cg", |r| {
            (r.common.cg, r.run.limits.cg_mem) = (true, kib(1 << 20))
        }),
        ("--cg --cg-m=1", |r| {
            (r.common.cg, r.run.limits.cg_mem) = (true, kib(1))
        }),
        ("--cg --cg-=1", |r| {
            (r.common.cg, r.run.limits.cg_mem) = (true, kib(1))
        }),
        ("--cg-timing", |_| ()),
        ("--cg-timing --no-cg-timing --cg-t --no-c", |r| {
            r.run.cg_timing = false
        }),
        ("--no-cg-timing --cg-timing", |_| ()),
        ("--as-uid 1000 --as-gid=0", |r| {
            r.common.acts_for = Some(Ids { uid: 1000, gid: 0 })
        }),
        ("--as-u=1 --as-g=2", |r| {
            r.common.acts_for = Some(Ids { uid: 1, gid: 2 })
        }),
        ("--wait", |r| r.common.wait = true),
        ("--wai", |r| r.common.wait = true),
        ("-v", |r| r.common.verbosity = 1),
        ("-vv --verbose --verb", |r| r.common.verbosity = 4),
        ("-sv", |r| (r.common.silent, r.common.verbosity) = (true, 1)),
        ("--silent -s --sil", |r| r.common.silent = true),
        ("-M/x", |r| {
            r.common.meta = Some(OutputTarget::File("/x".into()))
        }),
        ("-M -", |r| r.common.meta = Some(OutputTarget::Stdout)),
        ("--meta=-", |r| r.common.meta = Some(OutputTarget::Stdout)),
        ("--met x -M-y", |r| {
            r.common.meta = Some(OutputTarget::File("-y".into()))
        }),
        ("--config /etc/x.toml", |r| {
            r.common.config = Some("/etc/x.toml".into())
        }),
        ("-t1.0", |r| r.run.limits.time = millis(1000)),
        ("-t 1 -t 0.5", |r| r.run.limits.time = millis(500)),
        ("--time=1e+06", |r| {
            r.run.limits.time = millis(1_000_000_000)
        }),
        ("--tim 200ms", |r| r.run.limits.time = millis(200)),
        ("-x0 -w9.25", |r| {
            (r.run.limits.extra_time, r.run.limits.wall_time) = (millis(0), millis(9250))
        }),
        ("--extra-time=1 --wall-time 2min", |r| {
            (r.run.limits.extra_time, r.run.limits.wall_time) = (millis(1000), millis(120_000));
        }),
        ("-m 64M", |r| r.run.limits.address_space = kib(64 << 10)),
        ("--mem=0", |r| r.run.limits.address_space = kib(0)),
        ("-k8192 --core=4", |r| {
            (r.run.limits.stack, r.run.limits.core) = (kib(8192), kib(4))
        }),
        ("--co 5", |r| r.run.limits.core = kib(5)),
        ("-f 1K --fsize=2", |r| r.run.limits.file_size = kib(2)),
        ("-n0", |r| r.run.limits.open_files = Some(0)),
        ("--open-files 4096", |r| {
            r.run.limits.open_files = Some(4096)
        }),
        ("-p", |r| r.run.limits.processes = Some(0)),
        ("-p60", |r| r.run.limits.processes = Some(60)),
        ("-vp60", |r| {
            (r.common.verbosity, r.run.limits.processes) = (1, Some(60))
        }),
        ("--processes", |r| r.run.limits.processes = Some(0)),
        ("--proc=5", |r| r.run.limits.processes = Some(5)),
        ("-p5 --processes", |r| r.run.limits.processes = Some(0)),
        ("-q 10240,100", |r| {
            r.run.quota = Some(DiskQuota {
                blocks: 10_240,
                inodes: 100,
            })
        }),
        ("--quota=0,2", |_| ()),
        ("--quota=1,2", |r| {
            r.run.quota = Some(DiskQuota {
                blocks: 1,
                inodes: 2,
            })
        }),
        ("-d etc -d /b=/c:rw --dir=etc=", |r| {
            r.run.dirs = dirs("etc b=/c:rw etc=")
        }),
        ("-D", |r| r.run.no_default_dirs = true),
        ("--no", |r| r.run.no_default_dirs = true),
        ("-e", |r| r.run.full_env = true),
        ("-E A -EB=1 --env=C= -e", |r| {
            r.run.full_env = true;
            r.run.env = vec![
                EnvRule::Inherit("A".into()),
                set("B", "1"),
                EnvRule::Remove("C".into()),
            ];
        }),
        ("-i in -o out -r err", |r| {
            (r.run.stdin, r.run.stdout) = (Some("in".into()), Some("out".into()));
            r.run.stderr = StderrRequest::File("err".into());
        }),
        ("--stdin=- --stdout - --stderr=-", |r| {
            (r.run.stdin, r.run.stdout) = (Some("-".into()), Some("-".into()));
            r.run.stderr = StderrRequest::File("-".into());
        }),
        ("--stderr-to-stdout", |r| {
            r.run.stderr = StderrRequest::ToStdout
        }),
        ("--stderr-", |r| r.run.stderr = StderrRequest::ToStdout),
        ("-r x --stderr-to-stdout", |r| {
            r.run.stderr = StderrRequest::ToStdout
        }),
        ("--stderr-to-stdout --stderr x", |r| {
            r.run.stderr = StderrRequest::File("x".into())
        }),
        ("-ra --stderr-to-stdout -rb", |r| {
            r.run.stderr = StderrRequest::File("b".into())
        }),
        ("-c../x", |r| r.run.chdir = Some("../x".into())),
        ("--share-net --inherit-fds", |r| {
            (r.run.share_net, r.run.inherit_fds) = (true, true)
        }),
        ("--tty-hack --special-files", |r| {
            (r.run.tty_hack, r.run.special_files) = (true, true)
        }),
        ("--syscalls=31", |r| r.run.syscalls = Some(31)),
        ("--sy 0", |r| r.run.syscalls = Some(0)),
    ];
    for (options, change) in table {
        let mut expected = plain(Command::Run);
        expected.run.argv = program("prog -v --time=x");
        change(&mut expected);
        for line in [
            format!("{options} --run -- prog -v --time=x"),
            format!("--run {options} -- prog -v --time=x"),
        ] {
            assert_eq!(parse_line(&line), Ok(expected.clone()), "{line}");
        }
        // exec has the same options; everything after the program belongs to the program there.
        expected.command = Command::Exec;
        for line in [
            format!("exec {options} prog -v --time=x"),
            format!("exec {options} -- prog -v --time=x"),
        ] {
            assert_eq!(parse_line(&line), Ok(expected.clone()), "{line}");
        }
    }
}

#[test]
fn the_program_is_what_is_left_of_the_line() {
    for (line, words) in [
        ("--run prog", "prog"),
        ("--run prog -s arg", "prog arg"),
        ("--run -s prog -- -s", "prog -s"),
        ("prog --run -s", "prog"),
        ("--run -s -- -", "-"),
        ("--run -s - -- --", "- --"),
        ("--run exec -s", "exec"),
        ("-s --run -- exec --help", "exec --help"),
        ("exec -s prog -s -- x", "prog -s -- x"),
        ("exec -s exec", "exec"),
    ] {
        let request = parse_line(line).unwrap();
        assert_eq!(request.run.argv, program(words), "{line}");
        assert!(request.common.silent || !line.contains("-s"), "{line}");
    }
    assert_eq!(parse_line("--run -- ''").unwrap().run.argv, [""]);
    assert_eq!(parse_line("exec ''").unwrap().run.argv, [""]);
    let value_only_when_glued = parse_line("--run -p 4").unwrap();
    assert_eq!(value_only_when_glued.run.argv, ["4"]);
    assert_eq!(value_only_when_glued.run.limits.processes, Some(0));
}

#[test]
fn exec_takes_a_memory_limit_of_the_group_without_asking_for_the_mode() {
    let request = parse_line("exec --cg-mem=64M prog").unwrap();
    assert_eq!(
        (request.common.cg, request.run.limits.cg_mem),
        (false, kib(64 << 10))
    );
}

#[test]
fn the_commands_given_to_clap_are_consistent() {
    for verb in VERBS.iter().chain([&isolate::VERB]) {
        (verb.command)().debug_assert();
    }
}

#[test]
fn plain_words_stand_beside_isolates() {
    for (plain, isolates) in [
        ("exec --memory 64M --wall=2 p", "exec --cg-mem 64M -w 2 p"),
        ("exec --network --workdir x p", "exec --share-net -c x p"),
        ("--cg --memory=5 --run p", "--cg --cg-mem=5 --run p"),
    ] {
        assert_eq!(parse_line(plain), parse_line(isolates), "{plain}");
    }
}
