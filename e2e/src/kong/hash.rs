//! Kong's hash of a configuration, written down a second time: a test that asked the gateway's own
//! code for the expected hash could not fail.

use std::fmt::Write;

use md5::{Digest, Md5};
use serde_json::{Map, Value};

const PARTS: [&str; 5] = ["routes", "services", "plugins", "upstreams", "targets"];

/// The member `hashes` of the frame for a table that is far below the size at which Kong folds.
pub fn hashes(table: &Value) -> Value {
    let mut rest = table.as_object().expect("a table is an object").clone();
    let mut hashes = Map::new();
    let mut all = String::new();
    for part in PARTS {
        let hash = match rest.remove(part) {
            Some(collection) => digest(&text(&collection)),
            None => super::NO_HASH.to_owned(),
        };
        all.push_str(&hash);
        hashes.insert(part.to_owned(), hash.into());
    }
    all.push_str(&digest(&text(&rest.into())));
    hashes.insert("config".to_owned(), digest(&all).into());
    hashes.into()
}

fn digest(text: &str) -> String {
    Md5::digest(text)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a text takes everything");
            hex
        })
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "/null/".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => "{}".to_owned(),
        Value::Object(object) if object.is_empty() => "{}".to_owned(),
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(text).collect();
            let end = if list.len() > 5 { ";" } else { "" };
            items.join(";") + end
        }
        Value::Object(object) => {
            let mut names: Vec<&String> = object.keys().collect();
            names.sort();
            names
                .into_iter()
                .map(|name| format!("{name}:{};", text(&object[name])))
                .collect()
        }
    }
}
