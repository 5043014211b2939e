//! `config`: shows, compares and changes the configuration. For everybody, as far as they may read
//! and write its files: nobody is asked for rights.

mod change;
mod edit;
mod replace;
mod tell;

use std::fs;

use crate::answer::Answer;
use crate::caller::Caller;
use crate::config::{self, ConfigError, ConfigSource, Draft, Loaded};
use crate::failure::Failure;
use crate::request::{ConfigRequest, ConfigTask};
use crate::screen::{Coloring, Screen};

/// The exit code of a mistake in a configuration.
const EXIT_MISTAKE: u8 = 2;

/// Does what is asked for.
pub(crate) fn configure(request: &ConfigRequest) -> Result<Answer, Failure> {
    Caller::refuse_set_user_id()?;
    let source = ConfigSource::new(request.config.as_deref());
    let json = request.json;
    match &request.task {
        ConfigTask::Show => with(load(&source, None), |loaded| tell::show(loaded, json)),
        ConfigTask::Get(key) => {
            let key = config::key(key).map_err(Failure::new)?;
            with(config::load(&source), |loaded| tell::get(loaded, key, json))
        }
        ConfigTask::Change(change) => change::change(&source, change),
        ConfigTask::Edit { drop_in } => edit::edit(&source, drop_in.as_deref()),
        ConfigTask::Diff(None) => with(config::load(&source), |loaded| {
            tell::diff(&Loaded::defaults(), loaded, json)
        }),
        ConfigTask::Diff(Some((old, new))) => {
            let [old, new] = [old, new].map(|file| config::load(&ConfigSource::new(Some(file))));
            match (old, new) {
                (Ok(old), Ok(new)) => Ok(tell::diff(&old, &new, json)),
                (Err(error), _) | (_, Err(error)) => complain(error),
            }
        }
        ConfigTask::Import(from) => tell::import(from, json),
        ConfigTask::Digest => with(config::load(&source), |loaded| tell::digest(loaded, json)),
        ConfigTask::Schema => Ok(Answer::tell(config::schema())),
    }
}

/// The merged configuration, each value with its origin: `--check-config`.
pub(super) fn check(source: &ConfigSource) -> Result<Answer, Failure> {
    with(load(source, None), |loaded| tell::show(loaded, false))
}

/// Loads the configuration as it would be with a draft, and checks what a run would find.
fn load(source: &ConfigSource, draft: Option<&Draft>) -> Result<Loaded, ConfigError> {
    let loaded = config::load_with(source, draft)?;
    // A kernel without NUMA has no list of nodes.
    let online = |what| fs::read_to_string(format!("/sys/devices/system/{what}/online")).ok();
    let (cpus, nodes) = (online("cpu"), online("node"));
    loaded.check_pins(cpus.as_deref(), nodes.as_deref())?;
    Ok(loaded)
}

fn with(
    loaded: Result<Loaded, ConfigError>,
    tell: impl FnOnce(&Loaded) -> Answer,
) -> Result<Answer, Failure> {
    match loaded {
        Ok(loaded) => Ok(tell(&loaded)),
        Err(error) => complain(error),
    }
}

/// Says what is wrong: with the line of the file, where there is one to be shown.
fn complain(error: ConfigError) -> Result<Answer, Failure> {
    match explained(&error) {
        Some(text) => Ok(Answer::complain(text, EXIT_MISTAKE)),
        None => Err(error.into()),
    }
}

fn explained(error: &ConfigError) -> Option<String> {
    error.explained(Screen::of(&std::io::stderr(), Coloring::Auto))
}
