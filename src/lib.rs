//! isolate-run: runs an untrusted program so that it cannot reach out, cannot exceed its limits,
//! cannot survive its run, and is measured exactly. The successor of the contest sandbox isolate.
//!
//! # The processes of one run
//!
//! ```text
//! keeper          this program: decides, asks for the scope, watches, reports        [keeper]
//!   └ init        PID 1 of the new namespaces, in SCOPE/init: builds the sandbox     [launch]
//!       └ program in SCOPE/box, the leaf: the untrusted program and its children
//! ```
//!
//! init dies with the keeper, the PID namespace dies with init, and systemd removes a scope without
//! processes: nothing survives, whoever is killed.
//!
//! # From words to a run
//!
//! ```text
//! argv ────────── cli ────▶ Call ─────┐
//! isolate.toml ── config ─▶ Settings ─┼─ plan ─▶ Granted, RunPlan ─ commands ─▶ Ending, Usage
//! who asks ────── caller ─▶ Caller ───┘
//! Ending, Usage ─ report ─▶ Answer, Results
//! ```
//!
//! A call about a box is carried out in this process for root, and by the `broker` for everybody
//! else, in the same way (`commands`). Where there is no broker, the process of a user becomes root
//! of a user namespace (`rootless`), and goes root's way. A new command is a variant of
//! `cli::Call`, a file in `cli/` that reads it, and a file in `commands/` that does it.
//!
//! # The layers
//!
//! A module uses only modules below its line.
//!
//! ```text
//! lib               which call is carried out where, and what is written at its end
//! session           exec with files of the caller's, or more than once: several calls
//! judge             a solution on a folder of tests, and programs that talk to each other
//! batch             many runs from one call: jobs in, results out
//! broker            the service for users who are not root, and their own side of it
//! cli               argv to a call, in isolate's spelling or with a verb
//! commands          each command, from its first step to its last
//! doctor, calibrate what is wrong with the machine, and how fast it is
//! keeper            watches a run, and decides how it ends
//! home              where a run lives, from the choice of who makes its cgroups to their end
//! launch            makes init, the sandbox and the program
//! caller            rights, directories, files and signals of the user who asks
//! chronicle         what is remembered of commands: entries in the journal, counters
//! pool, report      keepers that stand by and are counted; verdict, meta file, JSON, summary
//! status            which boxes there are and what runs in them: table, JSON, screen
//! plan              limits, ceilings and all of a run, decided before anything starts
//! systemd           the scope of a run
//! cgroup, cpus      the cgroups of a run: limits, figures, ends; CPUs that are leased
//! config, polkit    isolate.toml and the file of isolate; whether a user may do something
//! box_dir, bus      boxes on disk with their locks and ids; D-Bus without an event loop
//! rootless          a user namespace for a user where nobody acts for them as root
//! request           what the caller wants
//! clock, failure, output, remedy
//! answer, barrier, check_name, dir_rule, error, guess, logging, quantity, screen, sys,
//! syscall_set, user, way
//! ```
//!
//! `plan`, `report`, `keeper::phase` and everything they use are pure; only `sys` is unsafe.
//!
//! This is a library so that readers of other people's bytes can be fuzzed (`fuzz/`); it is of no
//! use to anybody else.

mod answer;
mod barrier;
mod batch;
mod box_dir;
mod broker;
mod bus;
mod calibrate;
mod caller;
mod cgroup;
mod check_name;
mod chronicle;
mod cli;
mod clock;
mod commands;
mod config;
mod cpus;
mod dir_rule;
mod doctor;
mod error;
mod failure;
#[cfg(fuzzing)] // set by cargo-fuzz
pub mod fuzzing;
mod guess;
mod home;
mod judge;
mod keeper;
mod launch;
mod logging;
mod output;
mod plan;
mod polkit;
mod pool;
mod quantity;
mod remedy;
mod report;
mod request;
mod rootless;
mod screen;
mod session;
mod status;
mod sys;
mod syscall_set;
mod systemd;
mod user;
mod way;

use std::ffi::c_int;
use std::process::ExitCode;

use answer::{Answer, Results};
use caller::{Caller, Inheritance, OpenedDirs, ResultFiles, Terminals, lift_limits};
use chronicle::{Memory, Told};
use cli::{Call, CliError, Known};
use clock::Moment;
use commands::{Ahead, Asked, Done};
use config::settings::BoxSettings;
use config::{ConfigError, ConfigSource, Loaded};
use failure::Failure;
use keeper::Signals;
use launch::Coming;
use nix::sys::stat::{Mode, umask};
use request::{BoxCall, BoxCommand, RunKind, StatusRequest, Topic};
use screen::{Coloring, Screen};
use status::Snapshot;

/// The exit code of a call that was refused or did not work.
const EXIT_FAILURE: u8 = 2;

/// What the program does where the C library calls it, without Rust's runtime.
pub fn start() -> c_int {
    match sys::start::as_the_runtime_would() {
        Ok(()) => run().into(),
        // Nobody can be told.
        Err(_) => EXIT_FAILURE.into(),
    }
}

/// The same where Rust's runtime has done its part.
pub fn main() -> ExitCode {
    run().into()
}

/// What the program does, from its command line to its exit code.
fn run() -> u8 {
    // The caller's umask must not count: directories that programs pass through are made here.
    umask(Mode::from_bits_truncate(0o022));
    if let Err(errno) = Signals::hold_back_write_errors() {
        log::debug!("cannot block SIGXFSZ: {errno}");
    }
    let mut kept = None;
    let answer = match cli::parse(std::env::args_os()) {
        Ok(call) => carry_out(call, &mut kept),
        Err(CliError::Help { help, exit_code }) => Answer {
            stdout: help.text(Screen::of(&std::io::stdout(), Coloring::Auto)),
            code: exit_code,
            ..Answer::default()
        },
        Err(CliError::Usage(message)) => {
            forget_old_results();
            Answer::complain(message, EXIT_FAILURE)
        }
    };
    let code = output::print(&answer, EXIT_FAILURE);
    // Everybody has what they wait for.
    if let Some((memory, told)) = kept {
        memory.keep(&told);
    }
    code
}

/// What is remembered of a command that was carried out here.
type Kept = Option<(Memory, Told)>;

/// Does what the call asks for.
fn carry_out(call: Call, kept: &mut Kept) -> Answer {
    let mut code = EXIT_FAILURE;
    // isolate's messages stand alone; a verb's say who speaks.
    let mut speaker = match call {
        Call::Tell(_) | Call::Box(_) => "",
        _ => "isolate-run: ",
    };
    let done = match call {
        Call::Tell(tell) if tell.topic == Topic::Version => commands::show::show(&tell),
        Call::Tell(tell) => {
            broker::look_as_caller(tell.rootless).and_then(|()| commands::show::show(&tell))
        }
        Call::Session(session) => {
            code = report::summary::EXIT_INTERNAL;
            session::run(&session, Screen::of(&std::io::stderr(), session.coloring))
        }
        Call::Batch(options) => batch::run(options),
        Call::Test(options) => judge::test(*options),
        Call::Pair(options) => judge::pair::pair(*options),
        Call::Print(text) => Ok(Answer::tell(text)),
        Call::Complete(words) => {
            let known = Known {
                boxes: commands::offers::boxes(),
                keys: config::keys(),
            };
            Ok(Answer::tell(cli::complete(&words, &known).lines()))
        }
        Call::Config(request) => broker::look_as_caller(request.rootless)
            .and_then(|()| commands::configure::configure(&request)),
        Call::Calibrate(asked) => calibrate::calibrate(&asked),
        Call::ContainerInit(asked) => {
            code = commands::container_init::EXIT_NOT_READY;
            commands::container_init::container_init(asked)
        }
        // A tree of another machine has no users.
        Call::Doctor(asked) if asked.root.is_some() => doctor::visit(&asked),
        Call::Doctor(asked) => {
            broker::look_as_caller(asked.rootless).and_then(|()| doctor::visit(&asked))
        }
        Call::Serve(options) => broker::server::run(&options).map(|()| Answer::default()),
        Call::Box(call) => {
            let kind = call.command.program().map(|(kind, _)| kind);
            if !call.command.is_isolates() {
                speaker = "isolate-run: ";
            }
            if kind == Some(RunKind::Exec) {
                code = report::summary::EXIT_INTERNAL;
            }
            match call.command {
                BoxCommand::Status(request) => status(*call, request),
                _ => about_box(*call, code, kept),
            }
        }
    };
    done.unwrap_or_else(|failure| Answer::complain(format!("{speaker}{failure}"), code))
}

/// Empties the meta file of a command line with a mistake, if possible.
fn forget_old_results() {
    let Some(meta) = cli::meta_before_mistake(std::env::args_os()) else {
        return;
    };
    if let (Ok(caller), Ok(loaded)) = (
        Caller::of_process(None),
        config::load(&ConfigSource::new(None)),
    ) {
        caller::empty(&meta, caller, &loaded.settings.boxes.root);
    }
}

/// Looks at the boxes, here or by the broker, and tells what is seen.
fn status(call: BoxCall, request: StatusRequest) -> Result<Answer, Failure> {
    logging::start(call.common.verbosity);
    let acts_itself = broker::acts_itself(call.common.rootless)?;
    let caller = Caller::of_process(None)?;
    let source = ConfigSource::new(call.common.config.as_deref());
    let config = call.common.config.clone();
    let examine = || doctor::glance(config.as_deref());
    let look = || {
        let at = Moment::now().map_err(Failure::at("cannot read the clock (CLOCK_MONOTONIC)"))?;
        let (_, results) = match acts_itself {
            true => as_root(
                call.clone(),
                caller,
                None,
                at,
                config::load(&source),
                Ahead::default(),
                &mut None,
            )?,
            false => broker::client::ask(&call, caller, at)?,
        };
        Snapshot::from_json(&results.report)
    };
    status::tell(request.form, look, examine)
}

/// Carries a call about a box out, here or by the broker, and writes the results. `code` is that of
/// a failure.
fn about_box(call: BoxCall, code: u8, kept: &mut Kept) -> Result<Answer, Failure> {
    logging::start(call.common.verbosity);
    // A failure is told when there are files to write it to.
    let acts_itself = broker::acts_itself(call.common.rootless);
    let caller = Caller::of_process(call.common.acts_for)?;
    let asked = Moment::now().map_err(Failure::at("cannot read the clock (CLOCK_MONOTONIC)"))?;
    // Root needs no broker. The broker reads a configuration of its own; here it only says where
    // boxes are, if anything is to be written that may lie in one.
    let is_root = matches!(acts_itself, Ok(true));
    let lifted = match is_root {
        true => lift_limits().map_err(Failure::at("cannot raise the limits of this process"))?,
        false => None,
    };
    // They are made while all this is read.
    let program = call.command.program();
    let coming = program
        .filter(|(_, program)| is_root && !program.share_net && !systemd::is_there())
        .and_then(|_| Coming::begin());
    let source = ConfigSource::new(call.common.config.as_deref());
    let loaded = (is_root || ResultFiles::are_wanted(&call.common)).then(|| config::load(&source));
    // The files for the results come first: whatever fails from here on is written there, too.
    let boxes = match &loaded {
        Some(Ok(loaded)) => loaded.settings.boxes.root.clone(),
        Some(Err(_)) | None => BoxSettings::default().root,
    };
    let files = ResultFiles::open(&call.common, caller, &boxes)?;
    // With --tty-hack the broker's client gives the terminal back itself.
    let program = call.command.program();
    let terminals = program
        .filter(|(_, program)| is_root || !program.tty_hack)
        .map(|_| Terminals::remember());
    let coloring = call.common.coloring;
    let forgotten = session::Forgotten::of(&call.command, &call.common);
    let done = match (acts_itself, loaded) {
        (Err(failure), _) => Err(failure),
        (Ok(true), Some(loaded)) => {
            let ahead = Ahead {
                coming,
                ..Ahead::default()
            };
            as_root(call, caller, lifted, asked, loaded, ahead, kept)
        }
        (Ok(_), _) => broker::client::ask(&call, caller, asked),
    };
    if let Some(terminals) = terminals {
        terminals.restore();
    }
    match done {
        Ok((mut answer, results)) => {
            if let Some(forgotten) = forgotten {
                forgotten.remind(&mut answer);
            }
            if let Some(text) = answer.stderr.as_mut().filter(|text| text.contains('\x1b')) {
                *text = Screen::of(&std::io::stderr(), coloring).fitting(text);
            }
            if let Err(failure) = files.write(&results) {
                answer.stderr = Some(failure.to_string());
                answer.code = code;
            }
            Ok(answer)
        }
        Err(failure) => {
            // If this does not work either, the first failure is the one that matters.
            drop(files.write_failure(&failure));
            Err(failure)
        }
    }
}

/// Carries a call out in this process.
fn as_root(
    call: BoxCall,
    caller: Caller,
    inheritance: Option<Inheritance>,
    at: Moment,
    loaded: Result<Loaded, ConfigError>,
    mut ahead: Ahead,
    kept: &mut Kept,
) -> Result<(Answer, Results), Failure> {
    let mut memory = Memory::new(false);
    memory.uid = Some(caller.uid);
    memory.ask(&call);
    let carry_out = || -> Result<Done, Failure> {
        let settings = loaded?.settings;
        memory.configure(&settings, &call);
        let asked = Asked {
            directories: OpenedDirs::open(call.command.dirs(), caller)?,
            granted: plan::grant(&call, &settings, None)?,
            environment: std::env::vars_os().collect(),
            call,
            settings,
            caller,
            inheritance,
            at,
            of_batch: false,
            renews: false,
        };
        commands::carry_out(asked, None, &mut ahead)
    };
    let (done, told) = match carry_out() {
        Ok(done) => (Ok((done.answer, done.results)), done.told),
        Err(failure) => (Err(failure.clone()), Told::Failed(failure)),
    };
    *kept = Some((memory, told));
    done
}
