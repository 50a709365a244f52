//! Configurations of every kind of entity, made up.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use keelgate_entities::Object;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};

use super::object;

/// The `ttl` of what expires, in seconds.
pub const TIME_TO_LIVE: u64 = 86_400;

/// How a configuration is written down, and what is in it.
#[derive(Clone, Debug)]
pub struct Configuration {
    names: Vec<String>,
    /// Text that is hard to write as YAML.
    texts: Vec<String>,
    /// One bit for each choice.
    choices: u64,
    /// Whether every entity has an id of its own, instead of one that is derived.
    has_ids: bool,
    version: &'static str,
    transform: Option<bool>,
}

/// Any of them.
pub fn configurations() -> impl Strategy<Value = Configuration> {
    (
        prop::collection::btree_set("[a-z]{1,6}", 1..4),
        prop::collection::vec(text(), 1..8),
        any::<u64>(),
        any::<bool>(),
        prop::sample::select(vec!["1.1", "2.1", "3.0"]),
        any::<Option<bool>>(),
    )
        .prop_map(|(names, texts, choices, has_ids, version, transform)| {
            let names: BTreeSet<String> = names;
            Configuration {
                names: names.into_iter().collect(),
                texts,
                choices,
                has_ids,
                version,
                transform,
            }
        })
}

fn text() -> impl Strategy<Value = String> {
    let hard = [
        "yes",
        "null",
        "~",
        "1.0",
        "0x1F",
        "1e3",
        "2001-01-01",
        "<<",
        "=",
        "a: b",
        "- a",
        "#x",
        " led",
        "ended ",
        "'",
        "\"",
        "{a}",
        "[a]",
        "&a",
        "*a",
        "!a",
        "%a",
        "@a",
        "`a",
        "|",
        ">",
        "?",
        "\\n",
        "ünï-日本",
        "\u{1f980}",
        "true",
        "123",
        ".inf",
        "+1",
        "é\u{301}",
    ];
    let hard: Vec<_> = hard.map(str::to_owned).into();
    prop_oneof![prop::sample::select(hard), "[ -+.0-~-]{1,12}"]
}

/// Which collections are written inside of which others, with the field that leads back.
const NESTED: [(&str, &str, &str); 15] = [
    ("services", "routes", "service"),
    ("services", "plugins", "service"),
    ("routes", "plugins", "route"),
    ("consumers", "plugins", "consumer"),
    ("consumers", "acls", "consumer"),
    ("consumers", "basicauth_credentials", "consumer"),
    ("consumers", "hmacauth_credentials", "consumer"),
    ("consumers", "jwt_secrets", "consumer"),
    ("consumers", "keyauth_credentials", "consumer"),
    ("consumers", "oauth2_credentials", "consumer"),
    ("upstreams", "targets", "upstream"),
    ("certificates", "snis", "certificate"),
    ("certificates", "services", "client_certificate"),
    ("certificates", "upstreams", "client_certificate"),
    ("key_sets", "keys", "set"),
];

/// What names an entity of a collection that others are nested in.
fn name_field(kind: &str) -> Option<&'static str> {
    match kind {
        "services" | "routes" | "upstreams" | "key_sets" => Some("name"),
        "consumers" => Some("username"),
        _ => None,
    }
}

struct Pem {
    leaf: String,
    key: String,
    public_key: String,
    authority: String,
}

static PEM: LazyLock<Pem> = LazyLock::new(|| {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["h.test".to_owned()]).unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Pem {
        leaf: leaf.self_signed(&key).unwrap().pem(),
        authority: authority.self_signed(&key).unwrap().pem(),
        public_key: key.public_key_pem(),
        key: key.serialize_pem(),
    }
});

impl Configuration {
    /// Children inside of their parents.
    pub fn nested(&self) -> Value {
        let mut document = self.head();
        let mut ids = 0;
        for (kind, mut entities) in self.entities() {
            for entity in &mut entities {
                self.identify(kind, entity, &mut ids);
            }
            document.insert(kind.to_owned(), entities.into());
        }
        document.into()
    }

    /// Every collection apart, references by name where there is one, else by id.
    pub fn flat(&self) -> Value {
        let Value::Object(mut nested) = self.nested() else {
            unreachable!("a document is an object")
        };
        let mut flat = self.head();
        for (kind, entities) in &mut nested {
            if let Value::Array(entities) = entities {
                for entity in entities {
                    unfold(kind, entity.take(), &mut flat);
                }
            }
        }
        flat.into()
    }

    /// Whether every id is given.
    pub fn has_ids(&self) -> bool {
        self.has_ids
    }

    /// Whether secrets are hashed, each time with another salt.
    pub fn hashes_secrets(&self) -> bool {
        self.chooses(7)
    }

    /// Whether this choice was made.
    pub fn chooses(&self, choice: u32) -> bool {
        self.choices >> choice & 1 == 1
    }

    fn head(&self) -> Object {
        let mut head = object(json!({ "_format_version": self.version }));
        if let Some(transform) = self.transform {
            head.insert("_transform".to_owned(), transform.into());
        }
        head
    }

    fn identify(&self, kind: &str, entity: &mut Value, ids: &mut u32) {
        // Certificates have no name to derive an id from, nor to be referred to by.
        let has_id = self.has_ids || matches!(kind, "certificates" | "ca_certificates");
        if has_id && entity.get("id").is_none() {
            *ids += 1;
            entity["id"] = super::id(*ids).into();
        }
        for (_, child, _) in NESTED.iter().filter(|(parent, ..)| *parent == kind) {
            if let Some(Value::Array(children)) = entity.get_mut(*child) {
                for entity in children {
                    self.identify(child, entity, ids);
                }
            }
        }
    }

    /// The text of a number.
    fn text(&self, number: usize) -> &str {
        &self.texts[number % self.texts.len()]
    }

    fn tags(&self, number: usize) -> Value {
        match self.chooses(1) {
            true => json!(BTreeSet::from([self.text(number), self.text(number + 1)])),
            false => Value::Null,
        }
    }

    fn entities(&self) -> Vec<(&'static str, Vec<Value>)> {
        let each = |make: &dyn Fn(usize, &str) -> Value| -> Vec<Value> {
            let names = self.names.iter().enumerate();
            names.map(|(number, name)| make(number, name)).collect()
        };
        let keys = json!([
            {
                "name": "pair", "kid": "pair", "tags": self.tags(5),
                "pem": { "public_key": PEM.public_key, "private_key": PEM.key },
            },
            {
                "kid": "web",
                "jwk": json!({"kid": "web", "kty": "OKP", "crv": "Ed25519", "x": "AA"}).to_string(),
            },
        ]);
        let global = ["prometheus", "correlation-id", "cors"];
        vec![
            (
                "certificates",
                vec![json!({
                    "cert": PEM.leaf, "key": PEM.key, "tags": self.tags(3),
                    "snis": each(&|number, name| json!({
                        "name": format!("{name}.test"), "tags": self.tags(number),
                    })),
                    "services": [{ "name": "mutual", "url": "https://m.test/a", "tls_verify": true }],
                    "upstreams": [{ "name": "mutual.up", "hash_on": "ip" }],
                })],
            ),
            (
                "ca_certificates",
                vec![json!({ "cert": PEM.authority, "tags": self.tags(1) })],
            ),
            ("services", each(&|number, name| self.service(number, name))),
            (
                "routes",
                vec![json!({
                    "name": "alone", "paths": ["/alone"], "tags": self.tags(4),
                    "headers": { "x-a": [self.text(2)] },
                })],
            ),
            (
                "consumers",
                each(&|number, name| self.consumer(number, name)),
            ),
            (
                "upstreams",
                each(&|number, name| self.upstream(number, name)),
            ),
            (
                "vaults",
                each(&|number, name| {
                    json!({
                        "prefix": format!("v{name}"), "name": "env", "tags": self.tags(number),
                        "description": self.text(number), "config": { "prefix": "A_" },
                    })
                }),
            ),
            (
                "key_sets",
                vec![json!({ "name": "set", "tags": self.tags(2), "keys": keys })],
            ),
            (
                "keys",
                vec![
                    json!({ "name": "alone", "kid": "k", "pem": { "public_key": PEM.public_key } }),
                ],
            ),
            (
                "plugins",
                global
                    .map(|name| json!({ "name": name, "enabled": self.chooses(2) }))
                    .into(),
            ),
        ]
    }

    fn service(&self, number: usize, name: &str) -> Value {
        let pattern = match self.version {
            "3.0" => "~/[0-9]+/$",
            _ => "/[0-9]+/$",
        };
        // Nothing of a template.
        let plain = self.text(number).replace('$', "S");
        let mut service = json!({
            "name": name, "tags": self.tags(number), "enabled": self.chooses(3),
            "routes": [
                {
                    "name": format!("{name}-http"), "paths": [format!("/{name}"), pattern],
                    "methods": ["GET", "PUT"], "hosts": [format!("*.{name}.test")],
                    "headers": { "x-b": [self.text(number)] }, "strip_path": self.chooses(4),
                    "plugins": [
                        { "name": "cors", "instance_name": format!("{name}-cors"),
                          "config": { "origins": [format!("http://{name}.test")], "max_age": 5 } },
                        { "name": "request-transformer",
                          "config": { "add": { "headers": [format!("x-c:{plain}")] } } },
                        { "name": "rate-limiting", "config": { "minute": 5, "policy": "local" },
                          "tags": self.tags(number + 2), "protocols": ["https"] },
                    ],
                },
                {
                    "name": format!("{name}-tls"), "protocols": ["tls"], "snis": [format!("{name}.test")],
                    "destinations": [{ "ip": "10.0.0.0/8", "port": 5 }],
                },
            ],
            "plugins": [
                { "name": "request-termination", "enabled": self.chooses(5),
                  "config": { "status_code": 418, "message": self.text(number + 1) } },
                { "name": "key-auth", "config": { "key_names": ["a", "b"], "anonymous": self.text(number) } },
            ],
        });
        match self.chooses(6) {
            true => service["url"] = format!("https://{name}.test:8443/p").into(),
            false => {
                service["host"] = format!("{name}.test").into();
                service["retries"] = 0.into();
            }
        }
        service
    }

    fn consumer(&self, number: usize, name: &str) -> Value {
        let text = self.text(number);
        let key = |kind: &str| format!("{name}-{kind}-{text}");
        json!({
            "username": name, "custom_id": key("id"), "tags": self.tags(number),
            "plugins": [{ "name": "rate-limiting", "config": { "hour": 7, "policy": "local" } }],
            "acls": [{ "group": text }, { "group": format!("{text}2"), "tags": self.tags(number) }],
            "basicauth_credentials": [{ "username": key("basic"), "password": text }],
            "hmacauth_credentials": [{ "username": key("hmac"), "secret": text }],
            "jwt_secrets": [
                { "key": key("jwt"), "secret": text },
                { "key": key("rsa"), "secret": text, "algorithm": "ES256", "rsa_public_key": PEM.public_key },
            ],
            "keyauth_credentials": [
                { "key": key("key") },
                { "key": key("fleeting"), "ttl": TIME_TO_LIVE, "tags": self.tags(number) },
            ],
            "oauth2_credentials": [{
                "name": text, "client_id": key("oauth"), "client_secret": text,
                "hash_secret": self.hashes_secrets(), "redirect_uris": [format!("https://{name}.test/r")],
            }],
        })
    }

    fn upstream(&self, number: usize, name: &str) -> Value {
        let mut upstream = json!({
            "name": format!("{name}.up"), "tags": self.tags(number), "slots": 100,
            "healthchecks": {
                "threshold": 12.5,
                "active": { "healthy": { "interval": 0.5, "successes": 2 }, "headers": { "x-h": [self.text(number)] } },
            },
            "targets": [
                { "target": format!("{name}.test:80"), "weight": 5, "tags": self.tags(number) },
                { "target": "[::1]:81", "weight": 0 },
            ],
        });
        if self.chooses(8) {
            upstream["algorithm"] = "consistent-hashing".into();
            upstream["hash_on"] = "header".into();
            upstream["hash_on_header"] = "x-k".into();
        }
        upstream
    }
}

/// Puts an entity and those in it into their collections.
fn unfold(kind: &str, mut entity: Value, flat: &mut Object) {
    let leads_back = name_field(kind).unwrap_or("id");
    let reference = entity[leads_back].clone();
    for (_, child, field) in NESTED.iter().filter(|(parent, ..)| *parent == kind) {
        let Some(Value::Array(children)) = entity.as_object_mut().and_then(|e| e.remove(*child))
        else {
            continue;
        };
        for mut entity in children {
            entity[*field] = reference.clone();
            unfold(child, entity, flat);
        }
    }
    match flat.get_mut(kind) {
        Some(Value::Array(list)) => list.push(entity),
        _ => {
            flat.insert(kind.to_owned(), json!([entity]));
        }
    }
}
