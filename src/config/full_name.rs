//! From the full name of a key to the key, and what a misspelt one was probably meant to be.

use super::table::{Key, Table};
use super::value::excerpt;
use crate::guess::nearest;

/// The key of this full name, as in `boxes.count`; or what is wrong with the name.
pub(crate) fn key(name: &str) -> Result<Key, String> {
    let (table, own) = name.split_once('.').unwrap_or(("", name));
    let found = Table::named(table).and_then(|table| table.key(own));
    if let Some(key) = found.or((name == "pin").then_some(Key::PIN)) {
        return Ok(key);
    }
    if let Some(table) = Table::named(name) {
        let keys: Vec<_> = table.keys().map(|key| key.to_string()).collect();
        return Err(format!(
            "'{name}' is a table; its keys are {}",
            keys.join(", ")
        ));
    }
    let names = super::keys();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let owner = Table::SINGLE.into_iter().find_map(|table| table.key(name));
    let meant = match (owner, Table::named(table)) {
        (Some(key), _) => Some(key.to_string()),
        (None, Some(table)) => {
            let own = nearest(own, &table.key_names());
            own.map(|own| format!("{}.{own}", table.name()))
        }
        (None, None) => nearest(name, &known).map(str::to_owned),
    };
    let guess = meant.map(|meant| format!("did you mean {meant}? "));
    Err(format!(
        "'{}' is no key; {}isolate-run config show lists all",
        excerpt(name),
        guess.unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_full_name_and_a_misspelt_one_is_guessed() {
        for name in crate::config::keys() {
            assert_eq!(key(&name).unwrap().to_string(), name);
        }
        assert_eq!(key("limits.runs").unwrap().to_string(), "ceilings.runs");
        let table = key("log").unwrap_err();
        let expected = "'log' is a table; its keys are log.runs, log.refusals, log.arguments";
        assert_eq!(table, expected);
        for (name, guess) in [
            ("boxes.coun", "did you mean boxes.count? "),
            ("count", "did you mean boxes.count? "),
            ("box.count", "did you mean boxes.count? "),
            ("crates.count", ""),
            ("", ""),
            ("a\nb", ""),
            ("pin.boxes", ""),
        ] {
            let error = key(name).unwrap_err();
            let expected = format!("is no key; {guess}isolate-run config show");
            assert!(error.contains(&expected), "{name}: {error}");
        }
    }
}
