//! Values as Lua source text.
//!
//! Some messages of Kong's Admin API contain the error tree as Penlight's `pretty.write` prints a
//! Lua table; clients match on them, so they are written the same way here.

use std::fmt::Write;

use serde_json::Value;

const KEYWORDS: [&str; 22] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

/// A message as it is, anything else as a table on one line.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => table(other),
    }
}

/// A message as it is, anything else as a table over several lines.
pub(crate) fn text_or_table(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => {
            let mut out = String::new();
            write(&mut out, other, Some(1));
            out
        }
    }
}

/// A value as a Lua table on one line.
pub(crate) fn table(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, None);
    out
}

/// Writes one value; `depth` is the indentation of the entries in steps of two spaces, or none for
/// a single line.
fn write(out: &mut String, value: &Value, depth: Option<usize>) {
    let entries: Vec<(Option<String>, &Value)> = match value {
        Value::String(text) => return quote(out, text),
        Value::Null => return out.push_str("\"userdata: NULL\""),
        Value::Bool(flag) => return out.push_str(&flag.to_string()),
        Value::Number(number) => return out.push_str(&number.to_string()),
        Value::Array(list) => {
            // Only the part before the first gap is written without indices.
            let head = list.iter().take_while(|item| !item.is_null()).count();
            list.iter()
                .enumerate()
                .filter(|(_, item)| !item.is_null())
                .map(|(index, item)| {
                    let key = (index >= head).then(|| format!("[{}]", index + 1));
                    (key, item)
                })
                .collect()
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            keys.into_iter()
                .map(|key| (Some(index(key)), &map[key]))
                .collect()
        }
    };
    let indent = |steps: usize| "  ".repeat(steps);
    out.push('{');
    for (position, (key, item)) in entries.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        if let Some(depth) = depth {
            out.push('\n');
            out.push_str(&indent(depth));
        }
        if let Some(key) = key {
            out.push_str(key);
            out.push_str(if depth.is_some() { " = " } else { "=" });
        }
        write(out, item, depth.map(|depth| depth + 1));
    }
    if let Some(depth) = depth {
        out.push('\n');
        out.push_str(&indent(depth - 1));
    }
    out.push('}');
}

/// A key of a table: bare where it is an identifier.
fn index(key: &str) -> String {
    let identifier = !key.is_empty()
        && !key.starts_with(|c: char| c.is_ascii_digit())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !KEYWORDS.contains(&key);
    if identifier {
        return key.to_owned();
    }
    let mut quoted = String::new();
    quote(&mut quoted, key);
    if quoted.starts_with('[') {
        format!("[ {quoted} ]")
    } else {
        format!("[{quoted}]")
    }
}

/// A string literal: long brackets where it has line feeds or brackets of its own, `%q` otherwise.
fn quote(out: &mut String, text: &str) {
    let level = longest_bracket(text);
    if (text.contains('\n') || level.is_some()) && !text.contains('\r') {
        let equals = "=".repeat(level.map_or(0, |level| level + 1));
        let lead = if text.starts_with('\n') { "\n" } else { "" };
        let _ = write!(out, "[{equals}[{lead}{text}]{equals}]");
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\\n"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// The most equal signs between two equal brackets (`[[`, `]=]`, …) in the text followed by `]`.
fn longest_bracket(text: &str) -> Option<usize> {
    let bytes: Vec<u8> = text.bytes().chain([b']']).collect();
    let mut longest = None;
    for (start, &open) in bytes.iter().enumerate() {
        if open != b'[' && open != b']' {
            continue;
        }
        let equals = bytes[start + 1..]
            .iter()
            .take_while(|&&b| b == b'=')
            .count();
        if bytes.get(start + 1 + equals) == Some(&open) {
            longest = longest.max(Some(equals));
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_are_written_with_sorted_keys_and_bare_identifiers() {
        let value =
            json!({"services": [{"host": "required field missing", "@entity": ["a \"b\""]}]});
        assert_eq!(
            table(&value),
            r#"{services={{["@entity"]={"a \"b\""},host="required field missing"}}}"#
        );
    }

    #[test]
    fn gaps_in_lists_are_written_with_indices() {
        assert_eq!(table(&json!([null, {"a": "b"}])), r#"{[2]={a="b"}}"#);
        assert_eq!(table(&json!(["x", null, "y"])), r#"{"x",[3]="y"}"#);
    }

    #[test]
    fn strings_with_line_feeds_or_brackets_use_long_brackets() {
        assert_eq!(table(&json!("a\nb")), "[[a\nb]]");
        assert_eq!(table(&json!("a[[b")), "[=[a[[b]=]");
        assert_eq!(table(&json!("a]")), "[=[a]]=]");
    }

    #[test]
    fn the_long_form_is_indented() {
        assert_eq!(
            text_or_table(&json!({"a": {"b": "c"}})),
            "{\n  a = {\n    b = \"c\"\n  }\n}"
        );
    }
}
