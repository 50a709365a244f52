//! Kong's hash of a configuration.
//!
//! Data planes tell their control plane with this hash what they run, so both kinds of control
//! plane must compute the same one. The text under the hash is never built: values are fed to MD5
//! while they are parsed, one entity in memory at a time.

mod chains;

pub(crate) use chains::{Chains, canonical};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use md5::{Digest as _, Md5};
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What stands for the hash of nothing: a data plane without configuration reports it.
pub const EMPTY_CONFIG_HASH: &str = "00000000000000000000000000000000";

/// A text longer than this is replaced by its own digest before the next value is added.
const FOLD_ABOVE_BYTES: usize = 1_000_000;

/// A list of up to this many items has no separator after the last.
const SHORT_LIST: usize = 5;

/// The collections that have a hash of their own, in the order in which they enter the whole.
const PARTS: [&str; 5] = ["routes", "services", "plugins", "upstreams", "targets"];

/// Hash of a configuration and of those of its parts that Kong's data planes compare one by one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Hashes {
    pub(crate) config: String,
    routes: String,
    services: String,
    plugins: String,
    upstreams: String,
    targets: String,
}

impl Hashes {
    /// Hashes the value of `config_table`, a JSON object.
    pub(crate) fn of(config_table: &str) -> serde_json::Result<Self> {
        let mut collections: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str::<Collections<'_>>(config_table)?.0;
        let mut parts = PARTS.map(|_| EMPTY_CONFIG_HASH.to_owned());
        for (name, hash) in PARTS.iter().zip(&mut parts) {
            if let Some(collection) = collections.remove(*name) {
                let mut text = Text::default();
                text.collection(collection.get())?;
                *hash = text.finish();
            }
        }
        let mut rest = Text::default();
        if collections.is_empty() {
            rest.put(b"{}");
        }
        for (name, collection) in &collections {
            rest.put(name.as_bytes());
            rest.put(b":");
            rest.collection(collection.get())?;
            rest.put(b";");
        }
        Ok(Self::join(parts, &rest.finish()))
    }

    /// Hashes of the parts and of all that is no part.
    fn join(parts: [String; PARTS.len()], rest: &str) -> Self {
        let mut whole = Md5::new();
        for hash in &parts {
            whole.update(hash.as_bytes());
        }
        whole.update(rest.as_bytes());
        let [routes, services, plugins, upstreams, targets] = parts;
        Self {
            config: hex(&whole.finalize()),
            routes,
            services,
            plugins,
            upstreams,
            targets,
        }
    }
}

/// The members of `config_table`, borrowed where no escape prevents it.
struct Collections<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'de> Deserialize<'de> for Collections<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Collections<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of collections")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((Key(name), value)) = map.next_entry()? {
                    members.insert(name, value);
                }
                Ok(Collections(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Where the text under a hash goes.
trait Sink {
    fn put(&mut self, bytes: &[u8]);

    /// What happens before each value.
    fn fold(&mut self);
}

/// The text under one hash.
#[derive(Clone, Default)]
struct Text {
    md5: Md5,
    length: usize,
}

impl Sink for Text {
    fn put(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.length += bytes.len();
    }

    fn fold(&mut self) {
        if self.length > FOLD_ABOVE_BYTES {
            let digest = self.md5.finalize_reset();
            self.length = 0;
            self.put(&digest);
        }
    }
}

/// The text itself, where it is short.
impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn fold(&mut self) {}
}

impl Text {
    fn finish(self) -> String {
        hex(&self.md5.finalize())
    }

    /// A member of `config_table`: a list of entities is parsed one entity at a time.
    fn collection(&mut self, value: &str) -> serde_json::Result<()> {
        if value.starts_with('[') {
            self.fold();
            let mut deserializer = serde_json::Deserializer::from_str(value);
            deserializer.deserialize_seq(Entities(self))
        } else {
            write(self, &serde_json::from_str(value)?);
            Ok(())
        }
    }
}

fn write(sink: &mut impl Sink, value: &Value<'_>) {
    sink.fold();
    match value {
        Value::Null => sink.put(b"/null/"),
        Value::Bool(true) => sink.put(b"true"),
        Value::Bool(false) => sink.put(b"false"),
        Value::Number(number) => sink.put(lua_number(*number).as_bytes()),
        Value::String(text) => sink.put(text.as_bytes()),
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                separator(sink, index);
                write(sink, item);
            }
            end_of_list(sink, items.len());
        }
        Value::Object(members) if members.is_empty() => sink.put(b"{}"),
        Value::Object(members) => {
            for (index, (name, value)) in members.iter().enumerate() {
                // Of members with one name, the last counts.
                if members.get(index + 1).is_some_and(|next| next.0 == *name) {
                    continue;
                }
                sink.put(name.as_bytes());
                sink.put(b":");
                write(sink, value);
                sink.put(b";");
            }
        }
    }
}

fn separator(sink: &mut impl Sink, index: usize) {
    if index > 0 {
        sink.put(b";");
    }
}

fn end_of_list(sink: &mut impl Sink, length: usize) {
    if length == 0 {
        sink.put(b"{}");
    } else if length > SHORT_LIST {
        sink.put(b";");
    }
}

/// Adds a list of entities to the text while it is parsed.
struct Entities<'t>(&'t mut Text);

impl<'de> Visitor<'de> for Entities<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entities")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut length = 0;
        while let Some(entity) = list.next_element::<Value<'de>>()? {
            separator(self.0, length);
            write(self.0, &entity);
            length += 1;
        }
        end_of_list(self.0, length);
        Ok(())
    }
}

/// A JSON value that borrows its texts; members are sorted by name.
enum Value<'a> {
    Null,
    Bool(bool),
    Number(f64),
    String(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// The name of a member.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(name) => Ok(Self(name)),
            _ => Err(serde::de::Error::custom("the name of a member is no text")),
        }
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    // Lua has one type of number, a double.
    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::String(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::String(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Key(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        members.sort_by(|left, right| left.0.cmp(&right.0));
        Ok(Value::Object(members))
    }
}

/// A number as Lua writes it: `printf("%.14g")`.
fn lua_number(number: f64) -> String {
    const DIGITS: i32 = 14;
    if number == number.trunc() && number.abs() < 1e14 {
        return format!("{number:.0}");
    }
    let scientific = format!("{number:.*e}", (DIGITS - 1) as usize);
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..DIGITS).contains(&exponent) {
        let fixed = format!("{number:.*}", (DIGITS - 1 - exponent) as usize);
        return trim_fraction(&fixed).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim_fraction(mantissa), exponent.abs())
}

fn trim_fraction(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_collection_has_the_empty_hash() {
        let hashes = Hashes::of(r#"{"_format_version":"3.0","_transform":false}"#).unwrap();
        assert_eq!(hashes.routes, EMPTY_CONFIG_HASH);
        assert_eq!(hashes.config, "3ba837da99e14dfab883d867101d37f6");
    }

    #[test]
    fn an_empty_table_has_a_hash() {
        let hashes = Hashes::of("{}").unwrap();
        assert_eq!(hashes.config, "2da3c26e4dbd6dd6ea3ab60a3dd7fb3e");
    }

    #[test]
    fn each_type_of_value_is_written_as_kong_does() {
        let hashes = Hashes::of(
            r#"{"_format_version":"3.0","_transform":false,"routes":[],"services":[
                {"id":"s1","name":"a","port":80,"enabled":true,"tags":null,"headers":{},"list":[]}]}"#,
        )
        .unwrap();
        assert_eq!(hashes.routes, "99914b932bd37a50b983c5e7c90ae93b");
        assert_eq!(hashes.services, "9d18f34111d0d895b126889e923c8aa9");
        assert_eq!(hashes.config, "0f3e2ce6934f56fe66b4383ac49d261a");
    }

    #[test]
    fn a_list_of_more_than_five_ends_in_a_separator() {
        let hashes = Hashes::of(
            r#"{"services":[{"tags":["1","2","3","4","5"]},{"tags":["1","2","3","4","5","6"]}],
                "targets":[1,2,3,4,5,6]}"#,
        )
        .unwrap();
        assert_eq!(hashes.services, "0f0b2621a8c1e424eae7620f7b388b68");
        assert_eq!(hashes.targets, "c79fb8044faf9b08d2c625c980992b05");
    }

    #[test]
    fn a_long_text_is_folded() {
        let consumers: Vec<_> = (0..20_000)
            .map(|id| serde_json::json!({"id": id.to_string(), "note": "x".repeat(90)}))
            .collect();
        let table = serde_json::json!({"consumers": consumers}).to_string();
        let hashes = Hashes::of(&table).unwrap();
        assert_eq!(hashes.config, "8ce958602c40d83205d7624ee7426a05");
    }

    #[test]
    fn the_order_of_members_and_escapes_do_not_matter() {
        let one = Hashes::of(r#"{"a":[{"x":"\u00c4\n","y":1}],"routes":[1]}"#).unwrap();
        let other =
            Hashes::of("{\"routes\" : [1.0],\"\\u0061\":[{\"y\":1,\"x\":\"Ä\\n\"}]}").unwrap();
        assert_eq!(one.config, other.config);
    }

    #[test]
    fn the_last_of_two_equal_members_counts() {
        let twice = Hashes::of(r#"{"routes":[{"a":1,"b":2,"a":3}]}"#).unwrap();
        let once = Hashes::of(r#"{"routes":[{"a":3,"b":2}]}"#).unwrap();
        assert_eq!(twice.config, once.config);
    }

    #[test]
    fn numbers_have_fourteen_digits() {
        let cases = [
            (80.0, "80"),
            (-1.5, "-1.5"),
            (0.25, "0.25"),
            (1_795_406_746.615, "1795406746.615"),
            (0.1 + 0.2, "0.3"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1e13, "10000000000000"),
            (1e14, "1e+14"),
            (12_345_678_901_234_567.0, "1.2345678901235e+16"),
            (99_999_999_999_999.9, "1e+14"),
        ];
        for (number, text) in cases {
            assert_eq!(lua_number(number), text);
        }
    }
}
