//! `exec`: all of isolate's commands in one.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::{CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::options::Options;
use super::options::exec::{AroundOptions, TellingOptions};
use super::page::{Chapter, Page};
use super::read_directly;
use super::value::name_and_value;
use super::verb::{Mistake, Verb};
use crate::request::{BoxCommand, Session, Telling};

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "exec",
    chapter: Chapter::Run,
    page: Page {
        about: "Run a program in a box of its own, and say what it used",
        usage: &["[OPTIONS]... [--] PROGRAM [ARGUMENT]..."],
        description: DESCRIPTION,
        examples: &[
            (
                "exec -t 1 --memory 256M -- sort -n < numbers",
                "a second of CPU time, 256 MiB of memory for all its processes together",
            ),
            (
                "exec --in sum.py -- python3 sum.py < numbers",
                "copy a file into the box first",
            ),
            (
                "exec --in main.c --out a.out -- cc main.c",
                "compile, and take what came of it",
            ),
            (
                "exec --repeat 20 --in solution -- ./solution < input",
                "run it 20 times, and compare the figures",
            ),
            ("exec -- ls -l /", "what a program finds inside"),
            (
                "exec -d src=/home/me/src -c /src -- python3 check.py",
                "show a directory inside as /src, and start there",
            ),
        ],
        sections: &[("Exit status", EXIT_STATUS)],
        ..Page::EMPTY
    },
    command: ExecLine::command,
    operands: Operands::Last,
    has_results: true,
    help_exit_code: 0,
    read: call,
};

const DESCRIPTION: &str = "Takes a free box, runs the program in it, gives the box back, and exits as the program \
    did. The first word that is no option is the program; what follows it is the program's own.\n\
    The program sees /bin, /lib, /usr and a few names in /etc, not the files around you: the current directory is \
    not inside. Copy what it needs by --in, or show a directory by --dir. It is found by PATH, may have 256 \
    processes, and has no network. Without -t and -w nothing ends it.\n\
    A SIZE is in KiB when bare, or has a unit: 512K, 64M, 1.5G. A TIME is in seconds when bare, or has a unit: 1.5s, \
    200ms, 2min. Of a repeated option the last one counts. Defaults of limits and the default directory rules may \
    be configured otherwise.";

const EXIT_STATUS: &str = "That of the program; 128 + N if a signal N killed it; 124 if it ran out of time; 125 if \
    the sandbox did not work; 2 if the command line is wrong.";

/// The options of `exec`.
#[derive(Debug, Default, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
pub(super) struct ExecLine {
    #[command(flatten)]
    pub(super) options: Options,
    #[command(flatten)]
    pub(super) around: AroundOptions,
    #[command(flatten)]
    pub(super) telling: TellingOptions,
}

/// Reads the line. `--cg-mem` without `--cg` is no mistake here: the box is made for this run, so
/// the plan may choose the mode that the limit needs.
fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, words) = read_directly::<ExecLine>(argv, VERB.operands)?;
    let ExecLine {
        around,
        options,
        telling,
    } = line;
    if words.operands.is_empty() {
        return Err("exec: no program given".to_owned().into());
    }
    check(&around, &options)?;
    let coloring = telling.color.unwrap_or_default();
    if !around.bring.is_empty() || !around.fetch.is_empty() || around.repeat.is_some() {
        let AroundOptions {
            bring,
            fetch,
            repeat,
            keep,
        } = around;
        return Ok(Call::Session(Session {
            silent: options.output.silent,
            options: of_each_call(words.options, repeat.is_some()),
            program: words.operands,
            bring,
            fetch,
            repeat,
            keep,
            json: telling.json,
            coloring,
        }));
    }
    let (mut common, program) = options.join(words.operands)?;
    common.coloring = coloring;
    if telling.json {
        common.telling = Telling::Json;
    }
    let command = match around.keep {
        true => BoxCommand::Keep(program),
        false => BoxCommand::Exec(program),
    };
    Ok(Call::about_box(common, command))
}

/// Refuses what does not go together.
fn check(around: &AroundOptions, options: &Options) -> Result<(), Mistake> {
    let AroundOptions {
        bring,
        fetch,
        repeat,
        keep,
    } = around;
    let copies = !bring.is_empty() || !fetch.is_empty();
    let repeats = repeat.is_some();
    let (of_box, output) = (&options.box_options, &options.output);
    let has_results = output.meta.is_some() || output.report.is_some();
    let pairs = [
        (repeats && *keep, "--repeat and --keep exclude each other"),
        (
            repeats && has_results,
            "--meta and --report are about one run: with --repeat, --json tells of all",
        ),
        (
            repeats && options.world.inherit_fds,
            "--repeat and --inherit-fds exclude each other",
        ),
        (
            copies && of_box.box_id.is_some(),
            "--in and --out make a box of their own: they exclude --box-id",
        ),
        (
            (copies || repeats) && of_box.as_uid.is_some(),
            "--as-uid excludes --in, --out and --repeat",
        ),
        (*repeat == Some(0), "--repeat: at least 1"),
    ];
    match pairs.iter().find(|(is_so, _)| *is_so) {
        Some((_, message)) => Err((*message).to_owned().into()),
        None => Ok(()),
    }
}

/// The options that each call of a session is given.
fn of_each_call(options: Vec<OsString>, repeats: bool) -> Vec<OsString> {
    let is_ours = |option: &OsString| {
        let (name, _) = name_and_value(option.as_bytes());
        let of_session = [&b"--in"[..], b"--out", b"--repeat", b"--keep"];
        of_session.contains(&name) || (repeats && [&b"--json"[..], b"--silent"].contains(&name))
    };
    options
        .into_iter()
        .filter(|option| !is_ours(option))
        .collect()
}
