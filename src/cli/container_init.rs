//! `container-init`: the first process of a container.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, CommandFactory, Parser};

use super::getopt::Operands;
use super::page::{Chapter, Page};
use super::verb::{Mistake, Verb};
use super::{Call, read, value};
use crate::request::ContainerInit;

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "container-init",
    chapter: Chapter::Hidden,
    page: Page {
        about: "Be the first process of a container, which makes its cgroup ready",
        usage: &["[OPTION]... [--] PROGRAM [ARGUMENT]..."],
        description: "Moves every process of the container's cgroup into a child of it and enables the controllers that \
            runs need, once. Then starts PROGRAM, passes signals on to it, takes in processes that lose their parents, \
            and ends when PROGRAM does, with its exit code; what it leaves behind ends as well.\n\
            If the cgroup cannot be made ready, nothing is started, and the message says what the container lacks: \
            docs/containers.md says how to give it.",
        examples: &[
            (
                "container-init -- my-judge --port 80",
                "a judge that calls isolate-run, in a container",
            ),
            (
                "container-init -v -- sleep infinity",
                "see what is made ready",
            ),
        ],
        sections: &[(
            "Exit code",
            "That of PROGRAM, or 128 and the number of the signal that killed it; 125 if the cgroup cannot be made \
             ready, 126 if PROGRAM cannot be run, 127 if there is none.",
        )],
        ..Page::EMPTY
    },
    command: ContainerInitLine::command,
    operands: Operands::Last,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

/// The options of `container-init`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
struct ContainerInitLine {
    /// Read this configuration file instead of the installed one and its drop-ins
    #[arg(long, value_name = "FILE", value_parser = value::word(value::path))]
    config: Option<PathBuf>,
    /// Say what is done
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, command) = read::<ContainerInitLine>(argv, VERB.operands)?;
    if command.is_empty() {
        return Err("container-init: no program given".to_owned().into());
    }
    Ok(Call::ContainerInit(ContainerInit {
        command,
        config: line.config,
        verbosity: line.verbose,
    }))
}
