//! Tests of the whole: what the errors say about files that cannot be used, and the shipped
//! `isolate.toml`.

use std::path::Path;

use super::error::Place;
use super::fragment;
use super::machine::Machine;
use super::settings::Settings;
use super::table::{Key, Table};

fn refusal(text: impl AsRef<[u8]>) -> String {
    let error = Machine::new().main(text).load().unwrap_err();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn unknown_keys_and_broken_syntax_are_named_with_their_line() {
    for (text, error) in [
        (
            "\n[boxes]\nfirst_uuid = 1\n",
            "3: boxes.first_uuid: unknown key; did you mean first_uid? known here are root, locks, \
             count, first_uid, first_gid, subid_user, only_root_inits",
        ),
        (
            "count = 1",
            "1: count: unknown; did you mean count below [boxes]? known are the tables [boxes], \
             [cgroup], [cpus], [defaults], [exec], [broker], [ceilings], [directories], [syscalls], [log], [doctor], [batch], [[pin]]",
        ),
        ("[boxes.x]", "1: boxes.x: unknown key; "),
        ("[\"\"]", "1: \"\": unknown; "),
        (
            "[boxes]\n\"a\\nb\" = 1",
            "2: boxes.\"a\\nb\": unknown key; ",
        ),
        (
            "\nboxes = 1",
            "2: boxes: 1 cannot stand here; the table [boxes] is allowed",
        ),
        (
            "[[boxes]]",
            "1: boxes: a list cannot stand here; the table [boxes] is allowed",
        ),
        (
            "[boxes]\ncount = 1\ncount = 2",
            "3: not valid TOML: duplicate key at 'count'",
        ),
        ("[boxes]\n[cgroup]\n[boxes]", "3: not valid TOML: "),
        ("[boxes]\nroot = /var", "2: not valid TOML: "),
        ("[boxes]\nroot = \"/var", "2: not valid TOML: "),
        ("[boxes\n", "1: not valid TOML: "),
        ("[boxes]\ncount", "2: not valid TOML: "),
        ("[boxes]\nroot = '/a\0b'", "2: not valid TOML: "),
        (
            "[boxes]\nroot = \"/a\\u0000b\"",
            "2: boxes.root: '/a\\u{0}b' has a control character",
        ),
        (
            "[boxes]\nonly_root_inits = 1",
            "2: boxes.only_root_inits: 1 is no switch; true and false are allowed",
        ),
        (
            "[boxes]\ncount = '5'",
            "2: boxes.count: '5' is out of range; whole numbers from 1 to",
        ),
        (
            "[boxes]\ncount = 5.0",
            "2: boxes.count: 5.0 is out of range; whole numbers from 1 to",
        ),
        (
            "[boxes]\ncount = 9223372036854775808",
            "2: boxes.count: 9223372036854775808 is out of range; ",
        ),
        (
            "[boxes]\ncount = 2024-01-01",
            "2: boxes.count: a date is out of range; ",
        ),
        (
            "[defaults]\ntime = 07:32:00",
            "2: defaults.time: a date cannot be used; ",
        ),
        (
            "[defaults]\ntime = 1e999",
            "2: defaults.time: '1e999' is more than 2147483647 seconds",
        ),
        (
            "[defaults]\ntime = -1",
            "2: defaults.time: '-1' is not a time: ",
        ),
        ("[exec]\nmem = 1.5", "2: exec.mem: '1.5' is not a size: "),
        (
            "[exec]\ncore = 'unlimited'",
            "2: exec.core: 'unlimited' is not a size: ",
        ),
    ] {
        let found = refusal(text);
        let start = format!("DIR/isolate.toml:{error}");
        assert!(
            found.starts_with(&start),
            "{text}\n  found    {found}\n  expected {start}"
        );
    }
}

#[test]
fn byte_order_mark_and_carriage_returns_are_harmless() {
    let machine = Machine::new().main("\u{feff}[boxes]\r\n# one\r\ncount = 7\r\n");
    assert_eq!(machine.load().unwrap().settings.boxes.count, 7);
    assert!(
        refusal("\u{feff}[boxes]\r\n\r\nx = 7\r\n").starts_with("DIR/isolate.toml:3: boxes.x: ")
    );
}

#[test]
fn hostile_files_are_refused_in_one_line() {
    let mega = 1 << 20;
    assert_eq!(
        refusal(b"[boxes]\nroot = '\xff'"),
        "DIR/isolate.toml:2: not UTF-8 text; TOML is always UTF-8"
    );
    assert!(refusal("#".repeat(mega + 1)).contains("too large; at most 1048576 bytes"));
    let line_noise: Vec<u8> = (0..mega)
        .map(|i| b" ={}[]\"'.,#\\\n0a"[i * i % 31 % 15])
        .collect();
    for text in [
        format!("x = {}", "[".repeat(mega - 4)),
        "[".repeat(mega),
        "{".repeat(mega),
        "a.".repeat(mega / 2),
        "a={".repeat(mega / 3),
        "[[pin]]\n".repeat(mega / 8),
        "\n".repeat(mega - 1) + "x",
        format!("[boxes]\nroot = '/{}'", "a".repeat(mega - 30)),
        format!("[boxes]\n{} = 1", "a".repeat(mega - 30)),
        format!("[boxes]\ncount = {}", "9".repeat(mega - 30)),
        format!("[cgroup]\nslice = '{}.slice'", "a".repeat(mega - 30)),
        format!("[directories]\nrules = [{}]", "'',".repeat(300_000)),
        String::from_utf8(line_noise).unwrap(),
        "\0".into(),
        "=".into(),
        "'' = 1".into(),
        "\"\".\"\" = 1".into(),
        "[pin]".into(),
    ] {
        let error = refusal(&text);
        assert!(error.starts_with("DIR/isolate.toml:"), "{error}");
        assert!(error.len() < 1000, "{error}");
    }
}

/// The shipped file with its commented-out lines included: those of defaults, or those of examples.
fn shipped(defaults: bool, examples: bool) -> String {
    let mut is_example = false;
    include_str!("../../isolate.toml")
        .lines()
        .map(|line| {
            is_example = (is_example || line.starts_with("# Example")) && !line.is_empty();
            let wanted = if is_example { examples } else { defaults };
            match line.strip_prefix('#') {
                Some(key)
                    if wanted && key.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') =>
                {
                    key
                }
                _ => line,
            }
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn the_shipped_file_changes_nothing_and_shows_the_defaults() {
    for text in [shipped(false, false), shipped(true, false)] {
        let loaded = Machine::new().main(&text).load();
        assert_eq!(
            loaded.map(|loaded| loaded.settings),
            Ok(Settings::default()),
            "{text}"
        );
    }
}

#[test]
fn the_examples_of_the_shipped_file_can_be_used() {
    let settings = Machine::new()
        .main(shipped(false, true))
        .load()
        .unwrap()
        .settings;
    assert_eq!(settings.boxes.first_uid, 200_000);
    assert!(!settings.pins.is_empty());
}

#[test]
fn the_shipped_file_shows_every_key() {
    let (defaults, both) = (shipped(true, false), shipped(true, true));
    let place = Place::file(Path::new("isolate.toml"));
    let keys_of = |text: &str| -> Vec<Key> {
        let fragment = fragment::parse(text, &place).unwrap();
        fragment.into_iter().map(|(key, _)| key).collect()
    };
    let shown = keys_of(&both);
    for key in Table::SINGLE.into_iter().flat_map(Table::keys) {
        // [exec] has the keys of [defaults] and says so in words.
        let is_told = key.to_string().starts_with("exec.");
        assert!(is_told || shown.contains(&key), "{key} is not shown");
    }
    assert!(shown.contains(&Key::PIN));
    // A key with a default is shown with it, and a key without one is not among the defaults.
    let built_in = Machine::new().load().unwrap().to_string();
    for key in keys_of(&defaults) {
        assert!(
            built_in.contains(&format!("\n{} = ", key.name())),
            "{key} has no default"
        );
    }
}
