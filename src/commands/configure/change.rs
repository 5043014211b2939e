//! `config set` and `config unset`: one key of one file.

use std::path::{Path, PathBuf};

use super::replace::{refuse_unless_writable, replace};
use super::{complain, load};
use crate::answer::Answer;
use crate::config::{self, ConfigFiles, ConfigSource, Draft, Key, Loaded, draft};
use crate::failure::Failure;
use crate::request::KeyChange;

/// The drop-in that is written where none is named.
const DROP_IN: &str = "50-set.toml";
/// Its first line.
const HEAD: &str = "# Written by isolate-run config set; comments and lines of your own stay.\n";

/// Changes a key, unless the configuration could not be used then.
pub(super) fn change(source: &ConfigSource, asked: &KeyChange) -> Result<Answer, Failure> {
    let key = config::key(&asked.key).map_err(Failure::new)?;
    let path = source.own_file(Some(asked.drop_in.as_deref().unwrap_or(DROP_IN)));
    // Mistakes that are there already are told as such, and in the form of our own parser.
    let now = match load(source, absent(source, &path).as_ref()) {
        Ok(loaded) => loaded,
        Err(error) => return complain(error),
    };
    refuse_beside_isolates(&now)?;
    refuse_unless_writable(&path)?;
    let before = config::text(&path)?;
    let text = before.as_deref().unwrap_or(HEAD);
    let at = |reason| Failure::new(format!("{}: {reason}", path.display()));
    let changed = match &asked.value {
        Some(value) => draft::set(text, key, value).map_err(at)?,
        None => draft::unset(text, key).map_err(at)?.ok_or_else(|| {
            let place = now
                .entry(key)
                .place
                .map(|place| format!("; {place} sets it"));
            at(format!(
                "{key} is not set there{}",
                place.unwrap_or_default()
            ))
        })?,
    };
    let draft = Draft {
        path: path.clone(),
        text: changed,
    };
    let then = match load(source, Some(&draft)) {
        Ok(loaded) => loaded,
        Err(error) => return complain(error),
    };
    if asked.value.is_some() {
        refuse_without_effect(&then, key, &path)?;
    }
    replace(&path, before.as_deref(), &draft.text)?;
    Ok(Answer::tell(told(&then, key)))
}

/// A file for `--config` that is to be made is empty before.
fn absent(source: &ConfigSource, path: &Path) -> Option<Draft> {
    let is_own = matches!(&source.files, ConfigFiles::Only(only) if only == path);
    let is_absent = is_own && std::fs::symlink_metadata(path).is_err();
    is_absent.then(|| Draft {
        path: PathBuf::from(path),
        text: String::new(),
    })
}

/// The first TOML file ends that isolate's own configuration is read.
pub(super) fn refuse_beside_isolates(now: &Loaded) -> Result<(), Failure> {
    let Some(old) = now.old_file() else {
        return Ok(());
    };
    let old = old.display();
    Err(Failure::new(format!(
        "{old} is in force, the configuration of isolate, and with the first TOML file it would no longer be: \
         bring it over before (isolate-run config import {old})"
    )))
}

/// Refuses a value that another file overrides.
fn refuse_without_effect(then: &Loaded, key: Key, path: &Path) -> Result<(), Failure> {
    let entry = then.entry(key);
    if entry.is_from(path) {
        return Ok(());
    }
    let place = entry
        .place
        .map(|place| place.to_string())
        .unwrap_or_default();
    Err(Failure::new(format!(
        "{key} in {} would have no effect: {place} counts later; change that file, or choose a later one by --drop-in",
        path.display()
    )))
}

/// What holds for the key from now on.
fn told(then: &Loaded, key: Key) -> String {
    let entry = then.entry(key);
    let place = entry
        .place
        .map_or("default".to_owned(), |place| place.to_string());
    match entry.value {
        Some(value) => format!("{key} = {value} # {place}\n"),
        None => format!("# {key} is not set\n"),
    }
}
