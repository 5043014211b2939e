//! `config`: shows, compares and changes the configuration.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{ArgAction, CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::page::{Chapter, Page, Word};
use super::suggest::listed;
use super::value;
use super::verb::{Mistake, Verb};
use super::{page, read};
use crate::guess::did_you_mean;
use crate::request::{ConfigRequest, ConfigTask, ImportSource, KeyChange};

/// The words after the verb, in the order in which help tells of them.
const COMMANDS: [Word; 9] = [
    word(
        "show",
        "",
        "show every value that holds, and the line it is from",
    ),
    word(
        "get",
        "KEY",
        "print the value of one key, as in boxes.count",
    ),
    word(
        "set",
        "KEY VALUE",
        "set a key in a drop-in; refused if nothing would run then",
    ),
    word("unset", "KEY", "take a key out of that drop-in again"),
    word(
        "edit",
        "",
        "edit isolate.toml; a mistake never takes its place",
    ),
    word(
        "diff",
        "[OLD NEW]",
        "show what is not as by default, or differs in two files",
    ),
    word(
        "import",
        "[FILE]",
        "write isolate's own file as TOML; - is standard input",
    ),
    word(
        "digest",
        "",
        "print a digest of all values, to compare machines by",
    ),
    word(
        "schema",
        "",
        "print the JSON Schema of isolate.toml, for editors",
    ),
];

const fn word(name: &'static str, operands: &'static str, about: &'static str) -> Word {
    Word {
        name,
        operands,
        about,
    }
}

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "config",
    chapter: Chapter::Machine,
    page: Page {
        about: "Show, check and change the configuration",
        usage: &["COMMAND [OPTION]..."],
        description: "The configuration is /etc/isolate/isolate.toml and, over it, the drop-ins *.toml in \
            isolate.toml.d below /etc/isolate, /run/isolate and /usr/lib/isolate, in the order of their names. Of \
            drop-ins of one name the first of these directories counts, and one that is a link to /dev/null hides \
            the others; see isolate.toml(5).\n\
            For a user who does without root and without the broker it is their own, in $XDG_CONFIG_HOME/isolate-run \
            (~/.config/isolate-run).\n\
            set writes /etc/isolate/isolate.toml.d/50-set.toml, and leaves what else stands there. VALUE is TOML; what \
            is none is a text: 2s needs no quotes. What would not load as a whole is refused, and so is a value that a \
            later drop-in overrides. edit opens a copy in $SYSTEMD_EDITOR, $EDITOR or $VISUAL, which takes the place of \
            the file when it can be used. Both replace files at one stroke; runs that begin later have the new values.\n\
            import says on standard error, too, which lines have no counterpart, and why.",
        commands: &COMMANDS,
        examples: &[
            ("config set ceilings.memory 4G", "let users have 4 GiB each"),
            (
                "config get defaults.time",
                "ask for one value from a script",
            ),
            ("config diff", "see what this machine has of its own"),
            (
                "config edit --drop-in 60-contest",
                "write a drop-in for a contest",
            ),
            (
                "config digest",
                "one word that differs when the configuration does",
            ),
            (
                "config import > isolate.toml",
                "write a configuration of isolate as TOML",
            ),
            (
                "config show --config isolate.toml",
                "see whether a file is a configuration, and what holds with it",
            ),
        ],
        sections: &[(
            "Exit code",
            "0; of get, 1 if the key has no value; of diff, 1 if there is a difference; 2 if something is wrong.",
        )],
    },
    command: ConfigLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

/// The options of `config`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
pub(super) struct ConfigLine {
    /// Write JSON (show, get, diff, import, digest)
    #[arg(long)]
    json: bool,
    /// This file, instead of the installed configuration
    ///
    /// set and edit change the file itself.
    #[arg(long, value_name = "FILE", value_parser = value::word(value::path))]
    config: Option<PathBuf>,
    /// The configuration of a user without the broker
    ///
    /// The same happens by itself where no broker is installed.
    #[arg(long)]
    rootless: bool,
    /// Set or edit this drop-in, as in 60-contest
    ///
    /// It is /etc/isolate/isolate.toml.d/NAME.toml.
    #[arg(long, value_name = "NAME", value_parser = value::word(drop_in))]
    drop_in: Option<String>,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

/// The name of a drop-in, with its end.
fn drop_in(word: &OsStr) -> Result<String, &'static str> {
    let name = word.to_str().unwrap_or_default();
    let stem = name.strip_suffix(".toml").unwrap_or(name);
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.+:@".contains(c);
    if stem.is_empty() || stem.starts_with('.') || stem.len() > 200 || !stem.chars().all(fits) {
        return Err(
            "this is no name: letters, digits and '-', '_', '.' are allowed, as in 60-contest",
        );
    }
    Ok(format!("{stem}.toml"))
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, words) = read::<ConfigLine>(argv, VERB.operands)?;
    let Some((command, operands)) = words.split_first() else {
        let names = COMMANDS.map(|word| word.name);
        return Err(format!("config: no command given: there are {}", listed(&names)).into());
    };
    let known = COMMANDS.iter().find(|known| command == known.name);
    let known = known.ok_or_else(|| unknown(&command.to_string_lossy()))?;
    let task = task(known, operands, line.drop_in.clone())?;
    refuse_needless(known.name, &line)?;
    Ok(Call::Config(ConfigRequest {
        task,
        config: line.config,
        rootless: line.rootless,
        json: line.json,
    }))
}

fn unknown(command: &str) -> String {
    let names = COMMANDS.map(|word| word.name);
    let guess = match command {
        "check" | "validate" | "verify" => "did you mean show? It says what is wrong; ".to_owned(),
        "list" => "did you mean show? ".to_owned(),
        _ => did_you_mean(command, &names),
    };
    format!(
        "config: '{command}' is not a command; {guess}there are {}",
        listed(&names)
    )
}

/// Refuses options that say nothing to this command.
fn refuse_needless(command: &str, line: &ConfigLine) -> Result<(), Mistake> {
    let has_config = !matches!(command, "import" | "schema");
    let has_json = !matches!(command, "set" | "unset" | "edit" | "schema");
    let has_drop_in = matches!(command, "set" | "unset" | "edit");
    let needless = [
        ("--config", line.config.is_some() && !has_config),
        ("--json", line.json && !has_json),
        ("--drop-in", line.drop_in.is_some() && !has_drop_in),
    ];
    if let Some((option, _)) = needless.into_iter().find(|(_, is_needless)| *is_needless) {
        return Err(format!("config {command} takes no {option}").into());
    }
    if line.config.is_some() && line.drop_in.is_some() {
        return Err("--config and --drop-in exclude each other"
            .to_owned()
            .into());
    }
    Ok(())
}

fn task(
    command: &page::Word,
    operands: &[OsString],
    drop_in: Option<String>,
) -> Result<ConfigTask, Mistake> {
    let text = |word: &OsString| {
        let text = word.to_str().map(str::to_owned);
        text.ok_or_else(|| {
            let word = word.to_string_lossy();
            Mistake::from(format!(
                "config {}: '{word}' is not UTF-8 text",
                command.name
            ))
        })
    };
    let change = |key, value, drop_in| {
        ConfigTask::Change(KeyChange {
            key,
            value,
            drop_in,
        })
    };
    Ok(match (command.name, operands) {
        ("show", []) => ConfigTask::Show,
        ("get", [key]) => ConfigTask::Get(text(key)?),
        ("set", [key, value]) => change(text(key)?, Some(text(value)?), drop_in),
        ("unset", [key]) => change(text(key)?, None, drop_in),
        ("edit", []) => ConfigTask::Edit { drop_in },
        ("diff", []) => ConfigTask::Diff(None),
        ("diff", [old, new]) => ConfigTask::Diff(Some((old.into(), new.into()))),
        ("import", []) => ConfigTask::Import(ImportSource::Installed),
        ("import", [file]) if file == "-" => ConfigTask::Import(ImportSource::Stdin),
        ("import", [file]) if file.is_empty() => {
            return Err("config import: the name is empty".to_owned().into());
        }
        ("import", [file]) => ConfigTask::Import(ImportSource::File(file.into())),
        ("digest", []) => ConfigTask::Digest,
        ("schema", []) => ConfigTask::Schema,
        (name, _) => return Err(miscounted(name, command.operands, operands.len()).into()),
    })
}

fn miscounted(name: &str, takes: &str, given: usize) -> String {
    match takes {
        "" => format!("config {name} takes nothing more, but there is more"),
        takes => format!("config {name} takes {takes}, but {given} words were given"),
    }
}
