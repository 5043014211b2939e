//! isolate's spelling: the command is among the options.

use std::ffi::OsString;

use clap::{Args, CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::options::Options;
use super::read;
use super::verb::{Mistake, Verb};
use crate::request::{BoxCommand, Init, Tell, Topic};

/// The spelling without a verb. Help is as in isolate, including its exit code of 2.
pub(super) const VERB: Verb = Verb {
    name: "",
    is_for_people: false,
    help_exit_code: 2,
    read: call,
    results: Some((IsolateLine::command, Operands::Anywhere)),
};

/// The command line as isolate takes it.
#[derive(Debug, Parser)]
#[command(
    name = "isolate-run",
    about = "Runs an untrusted program in a sandbox: limited, measured, and gone when its run ends.",
    override_usage = "isolate-run [OPTIONS] --init
       isolate-run [OPTIONS] --run -- PROGRAM [ARGUMENT]...
       isolate-run [OPTIONS] --cleanup
       isolate-run exec [OPTIONS] PROGRAM [ARGUMENT]...   (all three in one; see exec --help)
       isolate-run config import FILE                     (see config --help)

A SIZE is in KiB when bare, or has a unit: 512K, 64M, 1.5G. A TIME is in seconds when bare, or has
a unit: 1.5s, 200ms, 2min. Of a repeated option the last one counts. Defaults of limits and the
default directory rules may be configured otherwise.",
    after_help = "Examples:
  isolate-run --cg --init                          make box 0; prints its path, files go to PATH/box
  isolate-run --cg -t1 -w5 --cg-mem=256M -M meta --run -- ./solution
  isolate-run --cg --cleanup                       remove it
  isolate-run exec -t 1 -p -d /etc -- /usr/bin/gcc --version

Exit status of --run: 0 the program exited with 0; 1 it failed, was killed or ran out of time;
2 it could not be run, or the command line is wrong.",
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true,
    term_width = 100
)]
pub(super) struct IsolateLine {
    #[command(flatten)]
    pub(super) commands: CommandFlags,
    #[command(flatten)]
    pub(super) options: Options,
}

/// isolate's commands, which look like options.
#[derive(Debug, Args)]
#[command(next_help_heading = "Commands (exactly one)")]
#[group(skip)]
pub(super) struct CommandFlags {
    /// Make the box, or make it anew, and print its path
    #[arg(long)]
    pub(super) init: bool,
    /// Run a program in the box
    #[arg(long)]
    pub(super) run: bool,
    /// Remove the box; no error when there is none
    #[arg(long)]
    pub(super) cleanup: bool,
    /// Check the configuration and print the merged result
    #[arg(long)]
    pub(super) check_config: bool,
    /// Print the cgroup below which the runs live
    #[arg(long)]
    pub(super) print_cg_root: bool,
    /// Print the version
    #[arg(long)]
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
    let (line, program) = read::<IsolateLine>(argv, Operands::Anywhere)?;
    let command = match commands(&line.commands).as_slice() {
        [] => return Err(no_command(first, &program).into()),
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

/// The error when there is no command: most likely a verb was meant, or `--run` forgotten.
fn no_command(first: Option<OsString>, program: &[OsString]) -> String {
    let verbs = super::verb_names();
    match program.first() {
        None => {
            format!("no command given: use --init, --run, --cleanup, or one of the verbs {verbs}")
        }
        Some(word) if first.as_ref() == Some(word) => format!(
            "'{}' is not a verb: there are {verbs}; isolate's commands begin with --, as in --run",
            word.to_string_lossy()
        ),
        Some(word) => format!(
            "no command given, but '{}': a program needs --run",
            word.to_string_lossy()
        ),
    }
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
