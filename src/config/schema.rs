//! The JSON Schema of isolate.toml for editors, made from the table of keys, the defaults and the
//! comments of the file that is installed. It says what one key may hold; what must hold between
//! keys, and every last rule, `--check-config` says.

use serde_json::{Map, Value, json};

use super::field::Field;
use super::settings::{LeaseUnit, LoggedRuns, Manager, ScopeLife, Settings, Smt};
use super::shipped;
use super::table::{Key, Table};
use super::value::{COUNT_MAX, UNLIMITED};
use crate::check_name::CheckName;
use crate::syscall_set::Restriction;

/// A number with a unit of time, of size, or a percentage. That a number is exact, and not too
/// large, is not said.
const TIME: &str = r"^([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)? *(us|ms|s|m|min|h)?$";
const SIZE: &str = r"^([0-9]+\.?[0-9]*|\.[0-9]+) *([bB]|[kKmMgGtT]([iI][bB])?)?$";
const PERCENT: &str = "^[0-9]+%$";
/// Numbers and ranges of them.
const LIST: &str = "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$";
/// An absolute path below `/`.
const PATH: &str = "^/+[^/]";

/// The schema, as text.
pub(crate) fn schema() -> String {
    let mut settings = Settings::default();
    let mut tables = Map::new();
    for table in Table::SINGLE {
        let mut keys = Map::new();
        for key in table.keys() {
            keys.insert(key.name().to_owned(), of_key(key, &mut settings));
        }
        let table_schema = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": keys,
        });
        tables.insert(table.name().to_owned(), table_schema);
    }
    let mut former = tables[Table::Ceilings.name()].clone();
    former["description"] = "The former name of [ceilings].".into();
    former["deprecated"] = true.into();
    tables.insert("limits".to_owned(), former);
    tables.insert(Key::PIN.name().to_owned(), of_key(Key::PIN, &mut settings));
    let schema = json!({
        // The newest that taplo reads.
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "isolate.toml",
        "description": "Configuration of isolate-run. isolate-run --check-config says the last word.",
        "type": "object",
        "additionalProperties": false,
        "properties": tables,
    });
    // Only texts and numbers.
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

/// What a key may hold, its default, and what it is for.
fn of_key(key: Key, settings: &mut Settings) -> Value {
    let mut schema = of_field(&key.field(settings));
    if let Some(default) = key.field(settings).shown() {
        schema["default"] = json!(default);
    }
    let own = shipped::about(key.table().name(), key.name());
    let about = match key.table() {
        Table::Exec if own.is_empty() => shipped::about(Table::Defaults.name(), key.name()),
        _ => own,
    };
    if !about.is_empty() {
        schema["description"] = about.into();
    }
    schema
}

fn of_field(field: &Field<'_>) -> Value {
    match field {
        Field::Path(_) | Field::NoPath(_) => json!({ "type": "string", "pattern": PATH }),
        Field::Whole(_, range) => {
            json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
        }
        Field::Switch(_) => json!({ "type": "boolean" }),
        Field::SubidUser(_) => any([
            json!({ "type": "string", "pattern": "^[^:]+$" }),
            json!({ "type": "integer", "minimum": 0 }),
        ]),
        Field::Manager(_) => one_of(&Manager::ALL.map(Manager::name)),
        Field::LoggedRuns(_) => one_of(&LoggedRuns::ALL.map(LoggedRuns::name)),
        Field::ScopeLife(_, name) => one_of(&ScopeLife::ALL.map(name)),
        Field::LeaseUnit(_) => one_of(&LeaseUnit::ALL.map(LeaseUnit::name)),
        Field::Smt(_) => one_of(&Smt::ALL.map(Smt::name)),
        Field::Cpus(_) => cpu_list(),
        Field::Slice(_) => {
            json!({ "type": "string", "pattern": r"^[A-Za-z0-9:_.]+(-[A-Za-z0-9:_.]+)*\.slice$" })
        }
        Field::Time(_) => or_unlimited(json!({ "type": "number", "minimum": 0 }), TIME),
        Field::Size(_) => or_unlimited(json!({ "type": "integer", "minimum": 0 }), SIZE),
        Field::ExactSize(_) => any([
            json!({ "type": "integer", "minimum": 0 }),
            json!({ "type": "string", "pattern": SIZE }),
        ]),
        Field::Count(_) => any([
            json!({ "type": "integer", "minimum": 0, "maximum": COUNT_MAX }),
            one_of(&[UNLIMITED]),
        ]),
        Field::Percent(_) => any([
            json!({ "type": "string", "pattern": PERCENT }),
            one_of(&[UNLIMITED]),
        ]),
        Field::Boxes(_) => or_unlimited(json!({ "type": "integer", "minimum": 0 }), LIST),
        Field::Groups(_) => {
            let group = any([
                json!({ "type": "string", "pattern": "^[^:, ]+$" }),
                json!({ "type": "integer", "minimum": 0 }),
            ]);
            json!({ "type": "array", "items": group })
        }
        Field::Rules(_) => {
            json!({ "type": "array", "items": { "type": "string", "minLength": 1 } })
        }
        Field::Denied(_) => {
            json!({ "type": "array", "items": one_of(&Restriction::ALL.map(Restriction::name)) })
        }
        Field::Silenced(_) => {
            let reason = json!({ "type": "string", "minLength": 1 });
            let checks = CheckName::ALL.map(|check| (check.name().to_owned(), reason.clone()));
            json!({
                "type": "object",
                "additionalProperties": false,
                "properties": Map::from_iter(checks),
            })
        }
        Field::Pins(_) => json!({ "type": "array", "items": pin() }),
    }
}

/// An entry of `[[pin]]`.
fn pin() -> Value {
    let list = cpu_list();
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["boxes"],
        "anyOf": [{ "required": ["cpus"] }, { "required": ["mems"] }],
        "properties": { "boxes": list, "cpus": list, "mems": list },
    })
}

fn cpu_list() -> Value {
    any([
        json!({ "type": "integer", "minimum": 0 }),
        json!({ "type": "string", "pattern": LIST }),
    ])
}

fn one_of(names: &[&str]) -> Value {
    json!({ "type": "string", "enum": names })
}

fn any<const N: usize>(kinds: [Value; N]) -> Value {
    json!({ "anyOf": kinds.to_vec() })
}

fn or_unlimited(number: Value, pattern: &str) -> Value {
    let text = json!({ "type": "string", "pattern": pattern });
    any([number, text, one_of(&[UNLIMITED])])
}

#[cfg(test)]
mod tests {
    use boon::{Compiler, Schemas};

    use super::*;
    use crate::config::machine::Machine;

    const FILE: &str = "docs/isolate.toml.schema.json";

    /// Whether the schema takes a TOML text.
    fn takes(text: &str) -> bool {
        let document: toml::Table = text.parse().unwrap();
        let document = serde_json::to_value(document).unwrap();
        let schema = serde_json::from_str(&schema()).unwrap();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("s.json", schema).unwrap();
        let index = compiler.compile("s.json", &mut schemas).unwrap();
        schemas.validate(&document, index).is_ok()
    }

    #[test]
    fn the_file_is_what_the_program_prints() {
        let file = std::fs::read_to_string(FILE).unwrap_or_default();
        let is_same = file == schema();
        assert!(is_same, "make it anew: isolate-run config schema > {FILE}");
    }

    #[test]
    fn what_can_be_used_is_taken() {
        let all = Machine::new().load().unwrap().to_string();
        assert!(takes(&all), "{all}");
        assert!(takes("[boxes]\nsubid_user = 1000\n"));
        for text in [
            "[boxes]\nsubid_user = 'isolate'\ncount = 1\n[cgroup]\nroot = '/x'\nslice = 'a-b.slice'\n",
            "[defaults]\ntime = 0.5\nextra_time = '1.5 s'\nwall_time = 0\nmem = '1.5GiB'\ncore = 0\n",
            "[defaults]\ntime = '1e-3s'\nmem = 'unlimited'\nopen_files = 'unlimited'\nprocesses = 0\n",
            "[limits]\nruns = 1\ncpu_quota = '150%'\nbox_ids = '0-3,8'\n",
            "[ceilings]\nbox_ids = 5\n[doctor]\nsilence = { smt = 'known' }\n[syscalls]\ndeny = []\n",
            "[[pin]]\nboxes = '0-3'\ncpus = 0\n[[pin]]\nboxes = 1\nmems = '0'\n",
            "[directories]\nrules = ['usr', 'tmp:tmp']\n",
        ] {
            Machine::new()
                .main(text)
                .load()
                .unwrap_or_else(|error| panic!("{error}"));
            assert!(takes(text), "{text}");
        }
    }

    #[test]
    fn what_is_a_mistake_is_not_taken() {
        for text in [
            "[box]\n",
            "count = 5\n",
            "[boxes]\ncoun = 5\n",
            "[boxes]\ncount = 0\n",
            "[boxes]\ncount = '5'\n",
            "[boxes]\nroot = 'x'\n",
            "[boxes]\nroot = '/'\n",
            "[boxes]\nonly_root_inits = 1\n",
            "[cgroup]\nmanager = 'docker'\n",
            "[cgroup]\nslice = 'a--b.slice'\n",
            "[cgroup]\nkeep_ready = 86401\n",
            "[defaults]\ntime = 'soon'\n",
            "[defaults]\ntime = -1\n",
            "[defaults]\nmem = 1.5\n",
            "[defaults]\nmem = '1X'\n",
            "[exec]\ncore = 'unlimited'\n",
            "[exec]\nprocesses = 1.5\n",
            "[ceilings]\ncpu_quota = 150\n",
            "[ceilings]\nbox_ids = '3-'\n",
            "[syscalls]\ndeny = ['ptrace']\n",
            "[syscalls]\ndeny = 31\n",
            "[directories]\nrules = [1]\n",
            "[log]\nruns = true\n",
            "[doctor]\nsilence = { none = 'x' }\n",
            "[doctor]\nsilence = { smt = '' }\n",
            "[[pin]]\nboxes = 1\n",
            "[[pin]]\ncpus = 1\n",
            "[[pin]]\nboxes = 1\ncpus = 'all'\n",
            "pin = 1\n",
        ] {
            assert!(Machine::new().main(text).load().is_err(), "{text}");
            assert!(!takes(text), "{text}");
        }
    }

    #[test]
    fn editors_are_told_what_a_key_is_for() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        let of = |table: &str, key: &str| {
            schema["properties"][table]["properties"][key]["description"].clone()
        };
        assert!(
            of("boxes", "count")
                .as_str()
                .unwrap()
                .starts_with("How many boxes")
        );
        assert_eq!(of("exec", "time"), of("defaults", "time"));
        assert!(schema["properties"]["pin"]["description"].is_string());
    }
}
