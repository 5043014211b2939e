//! What `config` tells of a configuration, and changes nothing.

use serde_json::{Value as Json, json};
use toml::Value;

use crate::answer::Answer;
use crate::config::isolate::import as isolate;
use crate::config::listing::Entry;
use crate::config::{Key, Loaded};
use crate::failure::Failure;
use crate::request::ImportSource;

/// The exit code of `diff` where there is a difference, and of `get` where there is no value.
const EXIT_OTHERWISE: u8 = 1;

/// All of it.
pub(super) fn show(loaded: &Loaded, json: bool) -> Answer {
    match json {
        true => Answer::tell(lines(&loaded.to_json())),
        false => Answer::tell(loaded.to_string()),
    }
}

/// One value: a text as it is, anything else as TOML has it.
pub(super) fn get(loaded: &Loaded, key: Key, json: bool) -> Answer {
    let Entry { name, value, .. } = loaded.entry(key);
    let code = if value.is_some() { 0 } else { EXIT_OTHERWISE };
    if json {
        let stdout = lines(&json!(value));
        return Answer {
            stdout,
            code,
            ..Answer::default()
        };
    }
    match value {
        Some(Value::String(text)) => Answer::tell(text + "\n"),
        Some(other) => Answer::tell(format!("{other}\n")),
        None => Answer::complain(
            format!("isolate-run: {name} is not set, and has no default"),
            code,
        ),
    }
}

/// What is not the same in two configurations, as diff(1) would have it.
pub(super) fn diff(old: &Loaded, new: &Loaded, json: bool) -> Answer {
    let found = old.difference(new);
    let code = if found.is_empty() { 0 } else { EXIT_OTHERWISE };
    let stdout = match json {
        true => lines(&Json::Array(found.iter().map(changed).collect())),
        false => found.iter().map(both).collect(),
    };
    Answer {
        stdout,
        code,
        ..Answer::default()
    }
}

fn changed((old, new): &(Entry, Entry)) -> Json {
    json!({
        "key": new.name,
        "old": old.value,
        "new": new.value,
        "from": new.from(),
    })
}

fn both((old, new): &(Entry, Entry)) -> String {
    let line = |sign: &str, entry: &Entry| {
        let place = entry.place.as_ref().map(|place| format!(" # {place}"));
        let place = place.unwrap_or_default();
        let value = entry.value.as_ref();
        value.map(|value| format!("{sign}{} = {value}{place}\n", entry.name))
    };
    let both = [line("-", old), line("+", new)];
    both.into_iter().flatten().collect()
}

/// One word for all values.
pub(super) fn digest(loaded: &Loaded, json: bool) -> Answer {
    let digest = loaded.digest();
    match json {
        true => Answer::tell(lines(&json!({ "digest": digest }))),
        false => Answer::tell(digest + "\n"),
    }
}

/// A configuration file of isolate as TOML, and what has no counterpart.
pub(super) fn import(from: &ImportSource, json: bool) -> Result<Answer, Failure> {
    let imported = isolate::import(from)?;
    let left_out = imported.left_out();
    if json {
        let left_out = left_out.map(|(place, reason)| json!({ "where": place, "reason": reason }));
        let left_out: Vec<_> = left_out.collect();
        let told = json!({ "toml": imported.to_string(), "left_out": left_out });
        return Ok(Answer::tell(lines(&told)));
    }
    let left_out =
        left_out.map(|(place, reason)| format!("isolate-run: left out: {place}: {reason}"));
    let left_out: Vec<_> = left_out.collect();
    Ok(Answer {
        stderr: (!left_out.is_empty()).then(|| left_out.join("\n")),
        ..Answer::tell(imported.to_string())
    })
}

fn lines(json: &Json) -> String {
    format!("{json:#}\n")
}
