//! YAML and JSON text.
//!
//! Scalars are resolved as YAML 1.1 does (`yes` is true, `0755` is octal): that is what Kong's
//! users write. Aliases and nesting are limited, so that a small document cannot become a huge one.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use libyaml_safer::{
    Emitter, Event, EventData, MappingStyle, Mark, Parser, ScalarStyle, SequenceStyle,
};
use serde_json::{Number, Value};

use crate::{ApiError, Object};

/// Deepest nesting of lists and maps.
const MAX_DEPTH: usize = 100;

/// Most values that aliases may stand for in one document.
const MAX_ALIASED: usize = 1_000_000;

const TRUE: [&str; 9] = [
    "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON",
];
const FALSE: [&str; 9] = [
    "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF",
];
const NULL: [&str; 5] = ["", "~", "null", "Null", "NULL"];

/// Reads a configuration in JSON or YAML.
///
/// # Errors
/// Code 14, with what is wrong and where in `fields.error`: text that is neither, that holds no
/// object, or that nests or repeats too much.
pub fn parse_text(text: &str) -> Result<Value, ApiError> {
    if let Ok(value @ Value::Object(_)) = serde_json::from_str(text) {
        return Ok(value);
    }
    let why = match read(text) {
        Ok(value @ Value::Object(_)) => return Ok(value),
        Ok(_) => "expected an object".to_owned(),
        Err(why) => why,
    };
    let mut fields = Object::new();
    let message = format!("failed parsing declarative configuration: {why}");
    fields.insert("error".to_owned(), message.into());
    Err(ApiError::declarative(fields))
}

fn read(text: &str) -> Result<Value, String> {
    let mut input = text.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut input);
    let mut reader = Reader {
        parser,
        anchors: HashMap::new(),
        aliased: 0,
        mark: Mark::default(),
    };
    loop {
        match reader.next()? {
            EventData::StreamStart { .. } | EventData::DocumentStart { .. } => {}
            EventData::StreamEnd => return Ok(Value::Null),
            event => return reader.node(event, 0),
        }
    }
}

/// Builds values from parser events.
struct Reader<'r, 'b> {
    parser: Parser<&'b mut &'r [u8]>,
    anchors: HashMap<String, Value>,
    /// Values that aliases stood for so far.
    aliased: usize,
    /// Where the last event started.
    mark: Mark,
}

impl Reader<'_, '_> {
    fn next(&mut self) -> Result<EventData, String> {
        // The scanner panics at some texts that it should refuse. It is not asked again then.
        let parsed = catch_unwind(AssertUnwindSafe(|| self.parser.parse()));
        match parsed {
            Ok(Ok(event)) => {
                self.mark = event.start_mark;
                Ok(event.data)
            }
            Ok(Err(error)) => Err(self.problem(error.problem())),
            Err(_) => Err(self.problem("did not find expected node content")),
        }
    }

    /// A message with the place where the last sound part of the text starts.
    fn problem(&self, what: &str) -> String {
        format!("{}:{}: {what}", self.mark.line + 1, self.mark.column + 1)
    }

    fn node(&mut self, event: EventData, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(self.problem("lists and maps are nested too deeply"));
        }
        let (value, anchor) = match event {
            EventData::Alias { anchor } => return self.alias(&anchor),
            EventData::Scalar {
                anchor,
                tag,
                value,
                style,
                ..
            } => {
                let text = tag.as_deref() == Some(libyaml_safer::STR_TAG);
                let plain = style == ScalarStyle::Plain && !text;
                let value = if plain {
                    resolve(value)
                } else {
                    Value::String(value)
                };
                (value, anchor)
            }
            EventData::SequenceStart { anchor, .. } => (self.sequence(depth)?, anchor),
            EventData::MappingStart { anchor, .. } => (self.mapping(depth)?, anchor),
            _ => return Err(self.problem("did not find expected node content")),
        };
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                EventData::SequenceEnd => return Ok(Value::Array(items)),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    /// Of equal keys the last one counts.
    fn mapping(&mut self, depth: usize) -> Result<Value, String> {
        let mut map = Object::new();
        let mut merged = Vec::new();
        loop {
            let key = match self.next()? {
                EventData::MappingEnd => break,
                event => self.node(event, depth + 1)?,
            };
            let event = self.next()?;
            let value = self.node(event, depth + 1)?;
            match key {
                Value::String(key) if key == "<<" => merged.push(value),
                Value::String(key) => {
                    map.insert(key, value);
                }
                Value::Array(_) | Value::Object(_) => {
                    return Err(self.problem("a key must be a scalar"));
                }
                scalar => {
                    map.insert(scalar.to_string(), value);
                }
            }
        }
        for source in merged {
            merge(&mut map, source);
        }
        Ok(Value::Object(map))
    }

    fn alias(&mut self, anchor: &str) -> Result<Value, String> {
        let Some(value) = self.anchors.get(anchor) else {
            return Err(self.problem(&format!("invalid reference: {anchor}")));
        };
        self.aliased = self.aliased.saturating_add(size(value));
        if self.aliased > MAX_ALIASED {
            return Err(self.problem("aliases stand for too many values"));
        }
        Ok(value.clone())
    }
}

/// `<<`: keys of other maps, where the map has none of its own.
fn merge(map: &mut Object, source: Value) {
    match source {
        Value::Object(other) => {
            for (key, value) in other {
                map.entry(key).or_insert(value);
            }
        }
        Value::Array(sources) => {
            for source in sources {
                merge(map, source);
            }
        }
        _ => {}
    }
}

/// How many values a value consists of.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// What an unquoted scalar means.
fn resolve(text: String) -> Value {
    let word = text.as_str();
    if NULL.contains(&word) {
        return Value::Null;
    }
    if TRUE.contains(&word) {
        return Value::Bool(true);
    }
    if FALSE.contains(&word) {
        return Value::Bool(false);
    }
    number(word).map_or(Value::String(text), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let radix = |prefix: &str, radix| {
        let rest = digits.strip_prefix(prefix)?;
        let valid = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric());
        valid.then(|| i64::from_str_radix(rest, radix).ok())?
    };
    let whole = radix("0x", 16)
        .or_else(|| radix("0b", 2))
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0", 8))
        .or_else(|| {
            let decimal = digits.bytes().all(|b| b.is_ascii_digit());
            decimal.then(|| digits.parse().ok())?
        });
    if let Some(whole) = whole {
        return Some(Number::from(if negative { -whole } else { whole }));
    }
    let float = digits.bytes().any(|b| b.is_ascii_digit())
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !float {
        return None;
    }
    let value: f64 = digits.parse().ok()?;
    Number::from_f64(if negative { -value } else { value })
}

/// Writes a document as YAML: keys sorted, null as `~`, texts quoted where they could be read as
/// something else.
pub fn to_yaml(value: &Value) -> String {
    let mut out = Vec::new();
    {
        let mut emitter = Emitter::new();
        emitter.set_output_string(&mut out);
        emitter.set_unicode(true);
        emitter.set_width(-1);
        emit(&mut emitter, value).expect(
            "events of a tree of values come in a valid order, and a vector takes all bytes",
        );
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn emit(emitter: &mut Emitter<'_>, value: &Value) -> libyaml_safer::Result<()> {
    emitter.emit(Event::stream_start(libyaml_safer::Encoding::Utf8))?;
    emitter.emit(Event::document_start(None, &[], true))?;
    emit_node(emitter, value)?;
    emitter.emit(Event::document_end(true))?;
    emitter.emit(Event::stream_end())?;
    emitter.flush()
}

fn emit_node(emitter: &mut Emitter<'_>, value: &Value) -> libyaml_safer::Result<()> {
    match value {
        Value::Null => emit_scalar(emitter, "~", ScalarStyle::Plain),
        Value::Bool(flag) => emit_scalar(emitter, &flag.to_string(), ScalarStyle::Plain),
        Value::Number(number) => emit_scalar(emitter, &number.to_string(), ScalarStyle::Plain),
        Value::String(text) => emit_text(emitter, text),
        Value::Array(items) => {
            let style = if items.is_empty() {
                SequenceStyle::Flow
            } else {
                SequenceStyle::Block
            };
            emitter.emit(Event::sequence_start(None, None, true, style))?;
            for item in items {
                emit_node(emitter, item)?;
            }
            emitter.emit(Event::sequence_end())
        }
        Value::Object(map) => {
            let style = if map.is_empty() {
                MappingStyle::Flow
            } else {
                MappingStyle::Block
            };
            emitter.emit(Event::mapping_start(None, None, true, style))?;
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            for key in keys {
                emit_text(emitter, key)?;
                emit_node(emitter, &map[key])?;
            }
            emitter.emit(Event::mapping_end())
        }
    }
}

fn emit_text(emitter: &mut Emitter<'_>, text: &str) -> libyaml_safer::Result<()> {
    let style = if text.contains('\n') {
        ScalarStyle::Literal
    } else if text == "<<" || !matches!(resolve(text.to_owned()), Value::String(_)) {
        ScalarStyle::SingleQuoted
    } else {
        ScalarStyle::Any
    };
    emit_scalar(emitter, text, style)
}

fn emit_scalar(
    emitter: &mut Emitter<'_>,
    text: &str,
    style: ScalarStyle,
) -> libyaml_safer::Result<()> {
    emitter.emit(Event::scalar(None, None, text, true, true, style))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_mean_what_yaml_1_1_says() {
        let text =
            "a: yes\nb: 'yes'\nc: 0755\nd: 1.5\ne: ~\nf: 0x1f\ng: -3\nh: 1.2.3\ni: !!str 5\n";
        assert_eq!(
            read(text).unwrap(),
            json!({
                "a": true, "b": "yes", "c": 493, "d": 1.5, "e": null, "f": 31, "g": -3,
                "h": "1.2.3", "i": "5"
            })
        );
    }

    #[test]
    fn of_equal_keys_the_last_counts_and_merges_give_way() {
        let text = "base: &b {x: 1, y: 2}\nk: 1\nk: 2\nm:\n  <<: *b\n  y: 3\n";
        let value = read(text).unwrap();
        assert_eq!(value["k"], 2);
        assert_eq!(value["m"], json!({"x": 1, "y": 3}));
    }

    #[test]
    fn errors_say_where() {
        assert_eq!(
            read("a: b: c").unwrap_err(),
            "1:4: mapping values are not allowed in this context"
        );
        assert_eq!(
            read("{").unwrap_err(),
            "1:1: did not find expected node content"
        );
        assert_eq!(read("a: *x").unwrap_err(), "1:4: invalid reference: x");
    }

    #[test]
    fn a_text_at_which_the_scanner_panics_is_refused() {
        assert!(read("[!,").unwrap_err().starts_with("1:1: "));
    }

    #[test]
    fn aliases_cannot_multiply_a_small_document_into_a_huge_one() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(read(&text).unwrap_err().contains("too many values"));
    }

    #[test]
    fn nesting_is_limited() {
        let text = "[".repeat(5_000);
        assert!(read(&text).unwrap_err().contains("too deeply"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let value = json!({
            "_format_version": "3.0",
            "texts": ["yes", "~", "5", "a: b", "", " x", "two\nlines\n", "é", "- a", "<<"],
            "others": [null, true, 5, 1.5, [], {}]
        });
        let text = to_yaml(&value);
        assert!(text.starts_with("_format_version: '3.0'\n"));
        assert_eq!(read(&text).unwrap(), value);
    }
}
