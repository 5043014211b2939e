//! Configuration files of anybody, for the fuzz targets in `fuzz/`. A panic is a finding.

use std::path::Path;

use super::error::Place;
use super::inputs::Inputs;
use super::subid::{IdRange, SubIds};
use super::{ConfigError, Loaded, fragment, isolate, resolve};
use crate::screen::Screen;

/// What a TOML file means, where every user has ids.
fn load(text: &str) -> Result<Loaded, ConfigError> {
    let mut inputs = Inputs::default();
    inputs.override_with(fragment::parse(text, &Place::file(Path::new("f")))?);
    let range = || IdRange {
        first: 100_000,
        count: 65_536,
    };
    let settings = resolve::resolve(&inputs, |_| {
        Ok(SubIds {
            uids: range(),
            gids: range(),
        })
    })?;
    Ok(Loaded {
        settings,
        files: Vec::new(),
        masks: Vec::new(),
        has_old: false,
        inputs,
    })
}

fn assert_told_in_one_line(error: &ConfigError) {
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    let screen = Screen {
        width: 80,
        is_colored: false,
    };
    let long = error.explained(screen).unwrap_or_default();
    let is_bad = |line: &str| line.chars().any(char::is_control);
    assert!(!long.lines().any(is_bad), "{long:?}");
}

/// Reads a TOML file; what is printed of it means the same.
pub fn toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match load(text) {
        Ok(loaded) => {
            let printed = loaded.to_string();
            let again = load(&printed);
            let again = again.map(|again| again.settings);
            let again = again.map_err(|error| error.to_string());
            assert_eq!(again, Ok(loaded.settings), "{printed}");
        }
        Err(error) => assert_told_in_one_line(&error),
    }
}

/// Reads a configuration file of isolate; what it is turned into is a TOML file that can be read.
pub fn old_config(bytes: &[u8]) {
    match isolate::fuzzing::import(bytes) {
        Ok(toml) => {
            let again = load(&toml);
            assert!(again.is_ok(), "{again:?} of {toml}");
        }
        Err(error) => assert_told_in_one_line(&error),
    }
}
