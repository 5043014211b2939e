//! isolate's spelling: the command is among the options.

use std::ffi::OsString;

use clap::{Args, CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::options::Options;
use super::page::{Chapter, Page};
use super::read_directly;
use super::suggest;
use super::verb::{Mistake, Verb};
use crate::request::{BoxCommand, Init, Tell, Topic};

/// The spelling without a verb. Help is as in isolate, including its exit code of 2.
pub(super) static VERB: Verb = Verb {
    name: "",
    chapter: Chapter::Hidden,
    page: Page {
        about: "Run an untrusted program in a sandbox: limited, measured, and gone afterwards",
        usage: &[
            "VERB [OPTIONS]...",
            "[OPTIONS]... --init | --run -- PROGRAM... | --cleanup",
        ],
        description: DESCRIPTION,
        examples: &[
            (
                "exec -t 1 --memory 64M -- /bin/echo hello",
                "a program in a sandbox, with limits",
            ),
            (
                "--cg --init",
                "as with isolate: make box 0; prints its path, files go to PATH/box",
            ),
            (
                "--cg -t1 -w5 --cg-mem=256M -M meta --run -- ./solution",
                "run a program in it, and write the result to the file meta",
            ),
            ("--cg --cleanup", "remove it"),
        ],
        sections: &[("Exit status", EXIT_STATUS)],
        ..Page::EMPTY
    },
    command: IsolateLine::command,
    operands: Operands::Anywhere,
    has_results: true,
    help_exit_code: 2,
    read: call,
};

const DESCRIPTION: &str = "There are two ways to call it. With a verb as the first word, which is for people and for \
    new programs: each verb has help of its own (isolate-run help VERB). And as isolate is called, step by step, \
    which is for judges: --init makes a box, files are put into it, --run runs a program in it, --cleanup removes it.\n\
    The options below are those of the second way, and of exec. A SIZE is in KiB when bare, or has a unit: 512K, \
    64M, 1.5G. A TIME is in seconds when bare, or has a unit: 1.5s, 200ms, 2min. Of a repeated option the last one \
    counts. Options may stand before and after the command, and may be shortened as long as they are unique. \
    Defaults of limits and the default directory rules may be configured otherwise.";

const EXIT_STATUS: &str = "Of --run: 0 the program exited with 0; 1 it failed, was killed or ran out of time; 2 it \
    could not be run, or the command line is wrong. Of this help: 2, as with isolate; of isolate-run help: 0.";

/// The command line as isolate takes it.
#[derive(Debug, Default, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
pub(super) struct IsolateLine {
    #[command(flatten)]
    pub(super) commands: CommandFlags,
    #[command(flatten)]
    pub(super) options: Options,
}

/// isolate's commands, which look like options.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Commands (exactly one)")]
#[group(skip)]
pub(super) struct CommandFlags {
    /// Make the box, or make it anew, and print its path
    #[arg(long, hide_short_help = true)]
    pub(super) init: bool,
    /// Run a program in the box
    #[arg(long, hide_short_help = true)]
    pub(super) run: bool,
    /// Remove the box; no error when there is none
    #[arg(long, hide_short_help = true)]
    pub(super) cleanup: bool,
    /// Check the configuration and print the merged result
    #[arg(long, hide_short_help = true)]
    pub(super) check_config: bool,
    /// Print the cgroup below which the runs live
    #[arg(long, hide_short_help = true)]
    pub(super) print_cg_root: bool,
    /// Print the version
    #[arg(long, hide_short_help = true)]
    pub(super) version: bool,
}

/// The command that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Init,
    Run,
    Cleanup,
    Tell(Topic),
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let mut argv = argv.peekable();
    let first = argv.peek().cloned();
    let (line, words) = read_directly::<IsolateLine>(argv, Operands::Anywhere)?;
    let program = words.operands;
    let command = match commands(&line.commands).as_slice() {
        [] => {
            return Err(match (program.first(), &first) {
                (None, None) => Mistake::Nothing,
                (None, Some(_)) => no_command().into(),
                (Some(word), first) => {
                    suggest::no_command(word, first.as_ref() == Some(word)).into()
                }
            });
        }
        [(command, name)] => {
            check_program(*command, name, &program)?;
            *command
        }
        [(_, one), (_, other), ..] => {
            return Err(format!("{one} and {other} exclude each other: give one command").into());
        }
    };
    if line.options.cgroup.cg_mem.is_some() && !line.options.cgroup.cg {
        return Err("--cg-mem needs --cg".to_owned().into());
    }
    let (common, program) = line.options.join(program)?;
    let command = match command {
        Command::Init => BoxCommand::Init(Init {
            quota: program.quota,
        }),
        Command::Run => BoxCommand::Run(program),
        Command::Cleanup => BoxCommand::Cleanup,
        Command::Tell(topic) => {
            return Ok(Call::Tell(Tell {
                topic,
                config: common.config,
                rootless: common.rootless,
                verbosity: common.verbosity,
            }));
        }
    };
    Ok(Call::about_box(common, command))
}

/// The commands that were given, each with its spelling.
fn commands(flags: &CommandFlags) -> Vec<(Command, &'static str)> {
    [
        (flags.init, Command::Init, "--init"),
        (flags.run, Command::Run, "--run"),
        (flags.cleanup, Command::Cleanup, "--cleanup"),
        (
            flags.check_config,
            Command::Tell(Topic::Config),
            "--check-config",
        ),
        (
            flags.print_cg_root,
            Command::Tell(Topic::CgRoot),
            "--print-cg-root",
        ),
        (flags.version, Command::Tell(Topic::Version), "--version"),
    ]
    .into_iter()
    .filter_map(|(given, command, name)| given.then_some((command, name)))
    .collect()
}

/// The error when there are options only.
fn no_command() -> String {
    let names: Vec<_> = super::verbs().map(|verb| verb.name).collect();
    let verbs = suggest::listed(&names);
    format!("no command given: use --init, --run, --cleanup, or one of the verbs {verbs}")
}

/// Checks that `--run` has a program and no other command has one.
fn check_program(command: Command, name: &str, program: &[OsString]) -> Result<(), String> {
    match (command, program.first()) {
        (Command::Run, None) => Err("--run: no program given".to_owned()),
        (Command::Run, Some(_)) | (_, None) => Ok(()),
        (_, Some(word)) => Err(format!(
            "{name} takes no program, but '{}' was given",
            word.to_string_lossy()
        )),
    }
}
