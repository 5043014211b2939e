//! Changes of single keys in the text of a file, which leave its comments and everything else as
//! they are. Whether the result can be used is seen by loading it.

use toml_edit::{DocumentMut, Item, Table as TomlTable, TableLike, Value};

use super::table::{Key, Table};

/// The name of `[ceilings]` in older files.
const FORMER_CEILINGS: &str = "limits";

/// The text with this key set. `value` is TOML, or else a text as it stands. Fails, with a reason,
/// for a text that is not TOML.
pub(crate) fn set(text: &str, key: Key, value: &str) -> Result<String, String> {
    let mut document = parse(text)?;
    let mut new = read(value);
    // The parser keeps comments without anything after them for the end.
    let comments = match document.is_empty() {
        true => text.to_owned(),
        false => String::new(),
    };
    if document.is_empty() {
        document = DocumentMut::new();
    }
    let table = table(&mut document, key).ok_or("the table is no table")?;
    match table.get_mut(key.name()) {
        Some(item) if item.is_value() => {
            if let Some(old) = item.as_value() {
                *new.decor_mut() = old.decor().clone();
            }
            *item = Item::Value(new);
        }
        _ => {
            // A table with a header of its own, maybe.
            table.remove(key.name());
            table.insert(key.name(), Item::Value(new));
        }
    }
    let gap = match comments.is_empty() || comments.ends_with('\n') {
        true => "",
        false => "\n",
    };
    Ok(format!("{comments}{gap}{document}"))
}

/// The text without this key. `None`: it does not stand there.
pub(crate) fn unset(text: &str, key: Key) -> Result<Option<String>, String> {
    let mut document = parse(text)?;
    let name = name(&document, key);
    let table: Option<&mut dyn TableLike> = match key.table() {
        Table::Pin => Some(document.as_table_mut()),
        _ => document.get_mut(name).and_then(Item::as_table_like_mut),
    };
    let removed = table.and_then(|table| table.remove(key.name()));
    Ok(removed.map(|_| document.to_string()))
}

fn parse(text: &str) -> Result<DocumentMut, String> {
    text.parse()
        .map_err(|error: toml_edit::TomlError| error.message().to_owned())
}

/// A value as somebody types it at a shell: quotes are for texts that look like something else.
fn read(value: &str) -> Value {
    let value = value.trim();
    let mut read = value.parse().unwrap_or_else(|_| Value::from(value));
    read.decor_mut().clear();
    read
}

/// The table of a key, made if it is not there. `None`: something else is in its place.
fn table(document: &mut DocumentMut, key: Key) -> Option<&mut dyn TableLike> {
    if key.table() == Table::Pin {
        return Some(document.as_table_mut());
    }
    let name = name(document, key);
    let table = document
        .entry(name)
        .or_insert(Item::Table(TomlTable::new()));
    table.as_table_like_mut()
}

/// What the file calls the table of a key.
fn name(document: &DocumentMut, key: Key) -> &'static str {
    let name = key.table().name();
    let has_former = document.contains_key(FORMER_CEILINGS) && !document.contains_key(name);
    match key.table() {
        Table::Ceilings if has_former => FORMER_CEILINGS,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::key;
    use crate::config::machine::Machine;

    fn set_key(text: &str, name: &str, value: &str) -> String {
        set(text, key(name).unwrap(), value).unwrap()
    }

    #[test]
    fn a_key_is_set_and_the_rest_of_the_text_stays() {
        for (text, name, value, expected) in [
            ("", "boxes.count", "5", "[boxes]\ncount = 5\n"),
            (
                "# only words\n",
                "boxes.count",
                "5",
                "# only words\n[boxes]\ncount = 5\n",
            ),
            (
                "# no end",
                "defaults.time",
                "2s",
                "# no end\n[defaults]\ntime = \"2s\"\n",
            ),
            (
                "# head\n\n[boxes] # those\n# many\ncount  =  1 # or so\nroot = '/x'\n# end\n",
                "boxes.count",
                "7",
                "# head\n\n[boxes] # those\n# many\ncount  =  7 # or so\nroot = '/x'\n# end\n",
            ),
            (
                "# a\n[boxes]\nroot = '/x'\n\n# b\n[log]\nruns = 'all'\n",
                "boxes.count",
                "7",
                "# a\n[boxes]\nroot = '/x'\ncount = 7\n\n# b\n[log]\nruns = 'all'\n",
            ),
            (
                "[limits]\nruns = 1\n",
                "ceilings.runs",
                "2",
                "[limits]\nruns = 2\n",
            ),
            (
                "boxes.root = '/x'\n",
                "boxes.root",
                "/y",
                "boxes.root = \"/y\"\n",
            ),
            (
                "boxes = { count = 1 }\n",
                "boxes.count",
                "2",
                "boxes = { count = 2 }\n",
            ),
            (
                "[doctor.silence]\nsmt = 'x'\n",
                "doctor.silence",
                "{ swap = 'y' }",
                "[doctor]\nsilence = { swap = 'y' }\n",
            ),
        ] {
            assert_eq!(set_key(text, name, value), expected, "{text}");
        }
    }

    #[test]
    fn a_word_is_toml_or_else_a_text() {
        for (value, expected) in [
            ("5", "5"),
            (" 5 ", "5"),
            ("0.5", "0.5"),
            ("true", "true"),
            ("2s", "\"2s\""),
            ("/srv/x", "\"/srv/x\""),
            ("", "\"\""),
            ("'5'", "'5'"),
            ("[\"vsock\"]", "[\"vsock\"]"),
            ("5\n[boxes]", "\"\"\"\n5\n[boxes]\"\"\""),
            ("5 # x", "\"5 # x\""),
        ] {
            assert_eq!(read(value).to_string(), expected, "{value}");
        }
    }

    #[test]
    fn every_key_can_be_set_to_what_it_is_and_taken_out_again() {
        let text = "[[pin]]\nboxes = 1\ncpus = 0\n[boxes]\nsubid_user = 'isolate'\n[cgroup]\nroot = '/x'\n[doctor.silence]\nsmt = 'x'\n";
        let loaded = Machine::new().main(text).load().unwrap();
        for entry in loaded.entries() {
            let beside = matches!(&*entry.name, "boxes.first_uid" | "boxes.first_gid");
            let Some(value) = entry.value.filter(|_| !beside) else {
                continue;
            };
            let set = set_key("", &entry.name, &value.to_string());
            let of_key = set_key(&set, &entry.name, &value.to_string());
            assert_eq!(set, of_key);
            let again = Machine::new().main(&set).load().unwrap();
            let again = again.entry(key(&entry.name).unwrap());
            assert_eq!(again.value, Some(value), "{set}");
            let out = unset(&set, key(&entry.name).unwrap()).unwrap().unwrap();
            let none = Machine::new().main(&out).load().unwrap();
            assert_eq!(
                none.digest(),
                crate::config::Loaded::defaults().digest(),
                "{out}"
            );
        }
    }

    #[test]
    fn what_is_not_there_is_not_taken_out() {
        let count = key("boxes.count").unwrap();
        assert_eq!(unset("", count), Ok(None));
        assert_eq!(unset("[boxes]\nroot = '/x'\n", count), Ok(None));
        let left = unset("# a\n[boxes]\ncount = 1 # b\nroot = '/x' # c\n", count);
        assert_eq!(left, Ok(Some("# a\n[boxes]\nroot = '/x' # c\n".into())));
        let old = unset("[limits]\nruns = 1\n", key("ceilings.runs").unwrap());
        assert_eq!(old, Ok(Some("[limits]\n".into())));
        assert!(unset("[boxes", count).is_err());
        assert!(set("[boxes", count, "1").is_err());
    }
}
