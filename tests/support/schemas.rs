//! Schemas of what the program writes.

use std::fs;

use serde_json::Value;

use super::source;

/// The schema `docs/NAME.schema.json` of something that may have new keys one day, which readers pass over: with every key that
/// it does not name forbidden, so that none is forgotten.
pub(crate) fn closed(name: &str) -> Value {
    let text = fs::read_to_string(source(&format!("docs/{name}.schema.json"))).unwrap();
    assert!(
        !text.contains("\"additionalProperties\": false"),
        "{name}: new keys may come"
    );
    let mut schema = serde_json::from_str(&text).unwrap();
    close(&mut schema);
    schema
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(keys) => {
            keys.values_mut().for_each(close);
            // `properties` itself holds names of keys, and none of them is called so.
            if keys.contains_key("properties") && !keys.contains_key("additionalProperties") {
                keys.insert("additionalProperties".to_owned(), false.into());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
