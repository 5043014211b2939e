//! `config`.

use super::*;
use crate::request::{ConfigRequest, ConfigTask, ImportSource, KeyChange};

fn call(words: &[&str]) -> Result<ConfigRequest, String> {
    let words = ["isolate-run", "config"].iter().chain(words);
    match parse(words.map(OsString::from)) {
        Ok(Call::Config(request)) => Ok(request),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

fn task(words: &[&str]) -> ConfigTask {
    call(words).unwrap().task
}

#[test]
fn config_import_takes_a_file_or_a_dash_or_finds_the_file_itself() {
    let file = |name: &str| ConfigTask::Import(ImportSource::File(name.into()));
    assert_eq!(task(&["import", "/etc/isolate"]), file("/etc/isolate"));
    assert_eq!(task(&["--", "import", "--help"]), file("--help"));
    let stdin = ConfigTask::Import(ImportSource::Stdin);
    assert_eq!(task(&["import", "-"]), stdin);
    let installed = ConfigTask::Import(ImportSource::Installed);
    assert_eq!(task(&["import"]), installed);
}

#[test]
fn a_key_is_set_to_the_word_as_it_is() {
    let change = |value: Option<&str>, drop_in: Option<&str>| {
        ConfigTask::Change(KeyChange {
            key: "boxes.count".into(),
            value: value.map(Into::into),
            drop_in: drop_in.map(Into::into),
        })
    };
    assert_eq!(
        task(&["set", "boxes.count", " 5"]),
        change(Some(" 5"), None)
    );
    assert_eq!(
        task(&["set", "--", "boxes.count", "-5"]),
        change(Some("-5"), None)
    );
    assert_eq!(task(&["unset", "boxes.count"]), change(None, None));
    for name in ["60-contest", "60-contest.toml"] {
        let found = task(&["set", "boxes.count", "", "--drop-in", name]);
        assert_eq!(found, change(Some(""), Some("60-contest.toml")));
    }
}

#[test]
fn what_is_no_command_of_config_is_refused_with_what_is_one() {
    for (words, expected) in [
        (
            &[][..],
            "config: no command given: there are show, get, set,",
        ),
        (
            &["sho"],
            "config: 'sho' is not a command; did you mean show? there are",
        ),
        (&["show", "x"], "config show takes nothing more"),
        (&["get"], "config get takes KEY, but 0 words were given"),
        (&["set", "a"], "config set takes KEY VALUE, but 1 words"),
        (
            &["set", "a", "b", "c"],
            "config set takes KEY VALUE, but 3 words",
        ),
        (&["diff", "a"], "config diff takes [OLD NEW], but 1 words"),
        (&["import", ""], "config import: the name is empty"),
        (&["set", "a", "b", "--json"], "config set takes no --json"),
        (&["show", "--drop-in=x"], "config show takes no --drop-in"),
        (&["schema", "--config=x"], "config schema takes no --config"),
        (
            &["edit", "--config=x", "--drop-in=x"],
            "--config and --drop-in exclude each other",
        ),
        (&["edit", "--drop-in=../x"], "--drop-in: this is no name"),
        (&["edit", "--drop-in=.x"], "--drop-in: this is no name"),
        (&["edit", "--drop-in=.toml"], "--drop-in: this is no name"),
        (&["edit", "--drop-in="], "--drop-in: this is no name"),
    ] {
        let error = call(words).unwrap_err();
        assert!(error.starts_with(expected), "{words:?}: {error}");
    }
}
