//! The command line: argv to [`Call`]. Pure: nothing is opened, read or printed here.
//!
//! isolate's spelling has its command among the options (`--init`, `--run -- PROGRAM`). New commands are
//! verbs, the first word of the line: `exec` is all of isolate's in one, `config` is about configuration
//! files. `getopt` brings every line to one form, `options` lets clap read that form, and this module joins
//! it to a call.

use std::ffi::OsString;
use std::fmt;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::Explained;
use crate::request::{BrokerOptions, Command, ImportSource, LimitRequest, Request, StderrRequest};
use getopt::{Operands, Words};
pub(crate) use mistake::meta_before_mistake;
use options::{BrokerLine, CommandFlags, ConfigLine, ExecLine, IsolateLine, Options};
use spelling::Table;
use verb::{Mistake, Verb};

mod getopt;
mod mistake;
mod options;
mod spelling;
#[cfg(test)]
mod tests;
mod value;
mod verb;

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// Something that depends on who asks, and on what is configured.
    Request(Box<Request>),
    /// `config import`: a configuration file of isolate as TOML.
    ImportConfig(ImportSource),
    /// `broker`: serve those who are not root.
    Broker(BrokerOptions),
}

/// Why there is no call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CliError {
    /// Help was asked for.
    Help {
        /// The whole text, to be printed on standard output.
        text: String,
        /// 2 for isolate's spelling, as with isolate; 0 for a verb.
        exit_code: u8,
    },
    /// The command line is wrong: what is wrong and where help is, on two lines. Exit code 2.
    Usage(String),
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Help { text, .. } => f.write_str(text),
            Self::Usage(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for CliError {}

impl Explained for CliError {}

/// Reads a command line, the program's own name included.
pub(crate) fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Call, CliError> {
    let mut argv = argv.into_iter();
    let name = argv.next().unwrap_or_default();
    let mut argv = argv.peekable();
    let verb = Verb::take(&mut argv);
    let result = match verb {
        Verb::Isolate => isolate_request(argv).map(Call::request),
        Verb::Exec => exec_request(argv).map(Call::request),
        Verb::Config => import_source(argv).map(Call::ImportConfig),
        Verb::Broker => broker_options(argv).map(Call::Broker),
    };
    result.map_err(|mistake| verb.explain(mistake, &name))
}

impl Call {
    fn request(request: Request) -> Self {
        Self::Request(Box::new(request))
    }

    /// For tests: the request, which it must be.
    #[cfg(test)]
    pub(crate) fn into_request(self) -> Request {
        match self {
            Self::Request(request) => *request,
            Self::ImportConfig(_) | Self::Broker(_) => panic!("{self:?}"),
        }
    }
}

/// isolate's spelling.
fn isolate_request(argv: impl Iterator<Item = OsString>) -> Result<Request, Mistake> {
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
    request(command, line.options, program)
}

/// `exec`, which is gone from `argv`.
///
/// `--cg-mem` without `--cg` is no mistake here: the box is made for this run, so the plan may choose
/// the mode that the limit needs.
fn exec_request(argv: impl Iterator<Item = OsString>) -> Result<Request, Mistake> {
    let (line, program) = read::<ExecLine>(argv, Operands::Last)?;
    if program.is_empty() {
        return Err("exec: no program given".to_owned().into());
    }
    request(Command::Exec, line.options, program)
}

/// `config`, which is gone from `argv`.
fn import_source(argv: impl Iterator<Item = OsString>) -> Result<ImportSource, Mistake> {
    let (_, words) = read::<ConfigLine>(argv, Operands::Anywhere)?;
    let message = match words.as_slice() {
        [] => "config: no command given: there is only import".to_owned(),
        [command, ..] if command != "import" => format!(
            "config: '{}' is not a command: there is only import",
            command.to_string_lossy()
        ),
        [_] => "config import: no file given; - is standard input".to_owned(),
        [_, file] if file == "-" => return Ok(ImportSource::Stdin),
        [_, file] if file.is_empty() => "config import: the name is empty".to_owned(),
        [_, file] => return Ok(ImportSource::File(file.into())),
        [_, _, more, ..] => format!(
            "config import takes one file, but '{}' was given, too",
            more.to_string_lossy()
        ),
    };
    Err(message.into())
}

/// `broker`, which is gone from `argv`.
fn broker_options(argv: impl Iterator<Item = OsString>) -> Result<BrokerOptions, Mistake> {
    let (line, words) = read::<BrokerLine>(argv, Operands::Anywhere)?;
    if let Some(word) = words.first() {
        let word = word.to_string_lossy();
        return Err(format!("broker takes no operands, but '{word}' was given").into());
    }
    Ok(BrokerOptions {
        socket: line.socket,
        config: line.config,
    })
}

/// Reads a command line into options and operands. The clap command is made once and serves both
/// as getopt's table and as the parser: making it is most of the cost of all this.
fn read<Line: clap::Parser>(
    argv: impl Iterator<Item = OsString>,
    operands: Operands,
) -> Result<(Line, Vec<OsString>), Mistake> {
    let mut command = Line::command();
    let mut words = Words::default();
    getopt::normalize(&Table::of(&command), argv, operands, &mut words)?;
    let Words { options, operands } = words;
    let line = command
        .try_get_matches_from_mut(options)
        .and_then(|mut matches| Line::from_arg_matches_mut(&mut matches))
        .map_err(in_own_words)?;
    Ok((line, operands))
}

/// clap's refusal of a value, with the option's name in front: `--time: 'abc' is not a time: …`.
fn in_own_words(error: clap::Error) -> Mistake {
    let reason = std::error::Error::source(&error).map(ToString::to_string);
    match (error.kind(), error.get(ContextKind::InvalidArg), reason) {
        (ErrorKind::DisplayHelp, _, _) => Mistake::Help(error.to_string()),
        (_, Some(ContextValue::String(arg)), Some(reason)) => {
            let option = arg.split([' ', '[', '=']).next().unwrap_or_default();
            Mistake::Usage(format!("{option}: {reason}"))
        }
        // Nothing else is left to clap; were it otherwise, its own first line must do.
        _ => Mistake::Usage(error.to_string().lines().take(1).collect()),
    }
}

/// The commands that were given, each with its spelling.
fn commands(flags: &CommandFlags) -> Vec<(Command, &'static str)> {
    [
        (flags.init, Command::Init, "--init"),
        (flags.run, Command::Run, "--run"),
        (flags.cleanup, Command::Cleanup, "--cleanup"),
        (flags.check_config, Command::CheckConfig, "--check-config"),
        (flags.print_cg_root, Command::PrintCgRoot, "--print-cg-root"),
        (flags.version, Command::Version, "--version"),
    ]
    .into_iter()
    .filter_map(|(given, command, name)| given.then_some((command, name)))
    .collect()
}

/// What to say when there is no command: most likely a verb was meant, or `--run` forgotten.
fn no_command(first: Option<OsString>, program: &[OsString]) -> String {
    match program.first() {
        None => {
            "no command given: use --init, --run, --cleanup, or one of the verbs exec and config"
                .to_owned()
        }
        Some(word) if first.as_ref() == Some(word) => format!(
            "'{}' is not a verb: there are exec and config; isolate's commands begin with --, as in --run",
            word.to_string_lossy()
        ),
        Some(word) => format!(
            "no command given, but '{}': a program needs --run",
            word.to_string_lossy()
        ),
    }
}

/// `--run` needs a program, no other command takes one.
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

/// Joins what was read.
fn request(command: Command, options: Options, program: Vec<OsString>) -> Result<Request, Mistake> {
    let Options {
        box_options,
        limits,
        cgroup,
        files,
        environment,
        world,
        output,
    } = options;
    if box_options.as_uid.is_some() != box_options.as_gid.is_some() {
        return Err("--as-uid and --as-gid must be used either both or none"
            .to_owned()
            .into());
    }
    Ok(Request {
        command,
        box_id: box_options.box_id,
        cg: cgroup.cg,
        cg_timing: !cgroup.no_cg_timing,
        as_uid: box_options.as_uid,
        as_gid: box_options.as_gid,
        wait: box_options.wait,
        verbosity: output.verbose,
        silent: output.silent,
        meta: output.meta,
        report: output.report,
        config: box_options.config,
        limits: LimitRequest {
            time: limits.time,
            extra_time: limits.extra_time,
            wall_time: limits.wall_time,
            address_space: limits.mem,
            cg_mem: cgroup.cg_mem,
            stack: limits.stack,
            file_size: limits.fsize,
            core: limits.core,
            open_files: limits.open_files,
            processes: limits.processes,
        },
        // Without blocks it is none, as in isolate.
        quota: box_options.quota.filter(|quota| quota.blocks > 0),
        dirs: files.dirs,
        no_default_dirs: files.no_default_dirs,
        full_env: environment.full_env,
        env: environment.env,
        stdin: files.stdin,
        stdout: files.stdout,
        stderr: match (files.stderr, files.stderr_to_stdout) {
            (Some(file), _) => StderrRequest::File(file),
            (None, true) => StderrRequest::ToStdout,
            (None, false) => StderrRequest::Inherit,
        },
        chdir: files.chdir,
        share_net: world.share_net,
        inherit_fds: world.inherit_fds,
        tty_hack: world.tty_hack,
        special_files: files.special_files,
        syscalls: world.syscalls,
        program,
    })
}
