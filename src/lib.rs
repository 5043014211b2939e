//! isolate-run: runs an untrusted program so that it cannot reach out, cannot exceed its limits, cannot
//! survive its run, and is measured exactly. The successor of the contest sandbox isolate.
//!
//! # The processes of one run
//!
//! ```text
//! keeper    this program: decides, asks systemd for the scope, watches, reports   [keeper]
//!   └ init      PID 1 of the new namespaces, in SCOPE/init: builds the sandbox    [launch]
//!       └ program   in SCOPE/box, the leaf: the untrusted program and all its own
//! ```
//!
//! init dies with the keeper, the PID namespace dies with init, and systemd removes a scope without
//! processes: nothing survives, whoever is killed.
//!
//! # From words to a run
//!
//! ```text
//! argv ─────────cli──▶ Request ─┐
//! isolate.toml ─config▶ Settings ├─ plan ─▶ BoxPlan, RunPlan ─ commands::run ─▶ Ending, Usage ─ report ─▶ words
//! who asks ─────caller▶ Caller ──┘
//! ```
//!
//! Whoever is not root goes another way to the same place: the broker carries their command out ([`broker`]).
//!
//! `plan`, `report`, `keeper::phase` and everything they use are pure; `sys` alone is unsafe.
//!
//! This is a library so that what reads other people's bytes can be fuzzed (`fuzz/`); it is of use to nobody else.

mod answer;
mod box_dir;
mod broker;
mod bus;
mod caller;
mod cgroup;
mod cli;
mod clock;
mod commands;
mod config;
mod dir_rule;
mod environment;
mod error;
mod failure;
mod keeper;
mod launch;
mod logging;
mod output;
mod plan;
mod polkit;
mod quantity;
mod report;
mod request;
mod sys;
mod syscall_set;
mod systemd;

use std::cell::RefCell;
use std::process::ExitCode;

use answer::{Answer, Results};
/// What the fuzz targets call: `cargo fuzz` sets this.
#[cfg(fuzzing)]
pub use broker::fuzzing;
use caller::{Caller, OpenedDirs, ResultFiles};
use cli::{Call, CliError};
use clock::Moment;
use commands::Context;
use config::settings::BoxSettings;
use config::{ConfigError, ConfigSource, Loaded};
use failure::Failure;
use keeper::Signals;
use nix::sys::stat::{Mode, umask};
use request::{Command, Request};

/// The exit code of a call that was refused or did not work.
const EXIT_FAILURE: u8 = 2;

/// What the program does, from its command line to its exit code.
pub fn main() -> ExitCode {
    // Whatever the caller's is: directories that programs have to pass through are made here.
    umask(Mode::from_bits_truncate(0o022));
    if let Err(errno) = Signals::hold_back_write_errors() {
        log::debug!("cannot block SIGXFSZ: {errno}");
    }
    let answer = match cli::parse(std::env::args_os()) {
        Ok(Call::Request(request)) => answer(*request),
        Ok(Call::ImportConfig(source)) => {
            let done = commands::config_import::import(&source);
            done.unwrap_or_else(|failure| refused(&failure, EXIT_FAILURE))
        }
        Ok(Call::Broker(options)) => {
            let done = broker::server::run(&options).map(|()| Answer::default());
            done.unwrap_or_else(|failure| refused(&failure, EXIT_FAILURE))
        }
        Err(CliError::Help { text, exit_code }) => Answer {
            stdout: text,
            code: exit_code,
            ..Answer::default()
        },
        Err(CliError::Usage(message)) => {
            forget_old_results();
            Answer::complain(message, EXIT_FAILURE)
        }
    };
    print(&answer)
}

/// The only place that writes to the standard descriptors. An output that nobody reads is no error, and
/// neither is a message that cannot be told: what happened is in the exit code.
fn print(answer: &Answer) -> ExitCode {
    let written = output::write_all(std::io::stdout(), answer.stdout.as_bytes());
    if let Some(line) = &answer.stderr {
        output::write_all(std::io::stderr(), format!("{line}\n").as_bytes()).ok();
    }
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            ExitCode::from(EXIT_FAILURE)
        }
        _ => ExitCode::from(answer.code),
    }
}

/// Empties the meta file of a command line with a mistake. What does not work there is of no interest.
fn forget_old_results() {
    let Some(meta) = cli::meta_before_mistake(std::env::args_os()) else {
        return;
    };
    if let (Ok(caller), Ok(loaded)) = (
        Caller::of_process(None, None),
        config::load(&ConfigSource::new(None)),
    ) {
        caller::empty(&meta, caller, &loaded.settings.boxes.root);
    }
}

fn refused(failure: &Failure, code: u8) -> Answer {
    Answer::complain(failure.to_string(), code)
}

fn answer(request: Request) -> Answer {
    logging::start(request.verbosity);
    let source = ConfigSource::new(request.config.as_deref());
    // For everybody, and without a box.
    let told = match request.command {
        Command::Version => Some(Ok(commands::show::version())),
        Command::CheckConfig => Some(commands::show::check_config(&source)),
        Command::PrintCgRoot => Some(commands::show::print_cg_root(&source)),
        Command::Init | Command::Run | Command::Cleanup | Command::Exec => None,
    };
    let code = match request.command {
        Command::Exec => report::summary::EXIT_INTERNAL,
        _ => EXIT_FAILURE,
    };
    if let Some(told) = told {
        return told.unwrap_or_else(|failure| refused(&failure, code));
    }
    let caller = match Caller::of_process(request.as_uid, request.as_gid) {
        Ok(caller) => caller,
        Err(error) => return refused(&error.into(), code),
    };
    let asked = match Moment::now() {
        Ok(asked) => asked,
        Err(errno) => {
            return refused(
                &Failure::at("cannot read the clock (CLOCK_MONOTONIC)")(errno),
                code,
            );
        }
    };
    // Root's word is enough. Whoever is not root asks the broker, which reads a configuration of its own; here it says
    // where boxes are, if anything is to be written that may lie in one.
    let is_root = nix::unistd::geteuid().is_root();
    let loaded = (is_root || ResultFiles::are_wanted(&request)).then(|| config::load(&source));
    // The files for the results come first: whatever fails from here on is told there, too.
    let boxes = match &loaded {
        Some(Ok(loaded)) => loaded.settings.boxes.root.clone(),
        Some(Err(_)) | None => BoxSettings::default().root,
    };
    let files = match ResultFiles::open(&request, caller, &boxes) {
        Ok(files) => files,
        Err(failure) => return refused(&failure, code),
    };
    let done = match loaded {
        Some(loaded) if is_root => carry_out(request, caller, asked, loaded),
        _ => broker::client::ask(&request, caller, asked),
    };
    match done {
        Ok((mut answer, results)) => {
            if let Err(failure) = files.write(&results) {
                answer.stderr = Some(failure.to_string());
                answer.code = code;
            }
            answer
        }
        Err(failure) => {
            // The failure itself is what matters if this does not work either.
            drop(files.write_failure(&failure));
            refused(&failure, code)
        }
    }
}

/// Carries the command out in this process.
fn carry_out(
    request: Request,
    caller: Caller,
    asked: Moment,
    loaded: Result<Loaded, ConfigError>,
) -> Result<(Answer, Results), Failure> {
    let settings = loaded?.settings;
    let directories = OpenedDirs::open(&request.dirs, caller)?;
    let context = Context {
        request,
        settings,
        place: None,
        caller,
        rights: None,
        asked,
        environment: std::env::vars_os().collect(),
        directories,
        inheritance: None,
        line: None,
        ahead: RefCell::default(),
        scope: RefCell::default(),
    };
    context.carry_out()
}
