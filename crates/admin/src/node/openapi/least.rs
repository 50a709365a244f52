//! The least that a new entity may be, by its kind: for people to copy, and for programs that make up
//! requests, which would seldom hit on one that is accepted.

use keelgate_entities::Object;
use keelgate_entities::schema::Schema;
use serde_json::{Value, json};

/// Of `example.test`, signed by itself.
const CERTIFICATE: &str = include_str!("example.pem");

/// Its key, which RFC 9500 has published for tests and examples.
const KEY: &str = include_str!("example.key");

/// A key that RFC 7517 has published, with a `kid` of its own.
const WEB_KEY: &str = r#"{"kid":"example","kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;

/// A field of such an entity.
enum Given {
    /// Text of this pattern, and one that is of it.
    Pattern(&'static str, &'static str),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A list of one text.
    List(&'static str, &'static str),
    /// A number in these bounds, which are allowed.
    Number(u32, u32),
}

use Given::{List, Number, OneOf, Pattern};

impl Given {
    fn schema(&self) -> Value {
        match self {
            Pattern(pattern, _) => json!({ "type": "string", "pattern": pattern }),
            OneOf(values) => json!({ "type": "string", "enum": values }),
            List(pattern, _) => json!({
                "type": "array", "minItems": 1, "maxItems": 1,
                "items": { "type": "string", "pattern": pattern },
            }),
            Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        }
    }

    fn example(&self) -> Value {
        match self {
            Pattern(_, example) => (*example).into(),
            OneOf(values) => values.first().copied().into(),
            List(_, example) => json!([example]),
            Number(least, _) => (*least).into(),
        }
    }
}

const NAME: Given = Pattern("^[a-z0-9]{4,12}$", "example");
const HOST: Given = Pattern("^[a-z]{3,12}\\.test$", "example.test");

fn fields(kind: &str) -> Option<Vec<(&'static str, Given)>> {
    Some(match kind {
        // With a protocol that a client certificate goes with.
        "services" => vec![("host", HOST), ("protocol", OneOf(&["https"]))],
        "routes" => vec![("paths", List("^/[a-z]{1,12}$", "/example"))],
        "consumers" => vec![("username", NAME)],
        "upstreams" | "snis" => vec![("name", HOST)],
        "targets" => {
            let pattern = "^192\\.0\\.2\\.1:[1-9][0-9]{1,3}$";
            vec![("target", Pattern(pattern, "192.0.2.1:8080"))]
        }
        "plugins" => vec![(
            "name",
            OneOf(&[
                "request-size-limiting",
                "request-transformer",
                "response-transformer",
            ]),
        )],
        "certificates" => vec![("cert", OneOf(&[CERTIFICATE])), ("key", OneOf(&[KEY]))],
        "ca_certificates" => vec![("cert", OneOf(&[CERTIFICATE]))],
        "vaults" => vec![
            ("prefix", Pattern("^[a-z]{4,12}$", "example")),
            ("name", OneOf(&["env"])),
        ],
        "key_sets" => vec![("name", NAME)],
        "keys" => vec![("kid", OneOf(&["example"])), ("jwk", OneOf(&[WEB_KEY]))],
        "acls" => vec![("group", NAME)],
        "basicauth_credentials" => vec![("username", NAME), ("password", NAME)],
        "hmacauth_credentials" => vec![("username", NAME)],
        "jwt_secrets" | "keyauth_credentials" => vec![("key", NAME)],
        "oauth2_credentials" => vec![
            ("name", NAME),
            (
                "redirect_uris",
                List("^https://[a-z]{3,12}\\.test/$", "https://example.test/"),
            ),
        ],
        "oauth2_tokens" => vec![("expires_in", Number(60, 3600))],
        "sessions" => vec![("session_id", NAME)],
        _ => return None,
    })
}

/// What one is, and an example; none for kinds that nobody makes by hand. `owners` are what it must
/// refer to besides.
pub(super) fn least(schema: &Schema, owners: &[&str]) -> Option<(Value, Value)> {
    let fields = fields(schema.name)?;
    let mut properties: Object = fields
        .iter()
        .map(|(name, given)| ((*name).to_owned(), given.schema()))
        .collect();
    let required: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    let required: Vec<_> = required.iter().chain(owners).collect();
    let required = json!(required);
    properties.extend(
        owners
            .iter()
            .map(|owner| ((*owner).to_owned(), super::owner())),
    );
    let mut example: Object = fields
        .iter()
        .map(|(name, given)| ((*name).to_owned(), given.example()))
        .collect();
    let owner = json!({ "id": "a0000001-0000-4000-8000-000000000001" });
    example.extend(
        owners
            .iter()
            .map(|name| ((*name).to_owned(), owner.clone())),
    );
    let schema = json!({
        "title": "the least",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    Some((schema, Value::Object(example)))
}
