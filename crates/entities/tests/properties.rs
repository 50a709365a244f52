//! What holds for any input.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use keelgate_entities::declarative::{dump, parse, parse_text, to_yaml};
use keelgate_entities::{Field, PluginSchema, Schemas};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
    Schemas::new(vec![
        PluginSchema::new("cors", 2000, "3.9.1")
            .field(Field::array("origins", Field::string("")))
            .field(Field::record("store", [Field::integer("port").default(1)]))
            .http_only(),
    ])
});

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// Words that mean something in entities, so that random input gets past the first check.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "name",
            "host",
            "id",
            "paths",
            "protocols",
            "http",
            "tcp",
            "service",
            "services",
            "routes",
            "plugins",
            "config",
            "cors",
            "headers",
            "~/a(",
            "~*(",
            "snis",
            "sources",
            "ip",
            "targets",
            "target",
            "upstreams",
            "tags",
            "url",
            "certificates",
            "cert",
            "*",
            "{vault://env/a}",
            "a.test:80",
            "[::1]:1",
            "%zz",
            "_format_version",
            "3.0",
            "@entity",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((word(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((word(), any_json()), 0..8)
        .prop_map(|entries| entries.into_iter().collect())
}

/// Entities of the other collections, around the same names.
fn around(names: &[String]) -> Map<String, Value> {
    let each = |make: &dyn Fn(&String) -> Value| names.iter().map(make).collect::<Value>();
    let sections = [
        (
            "consumers",
            each(&|name| {
                json!({
                    "username": name,
                    "tags": [name],
                    "keyauth_credentials": [{ "key": format!("{name}-key"), "ttl": 60 }],
                    "basicauth_credentials": [{ "username": name, "password": name }],
                    "hmacauth_credentials": [{ "username": name, "secret": name }],
                    "jwt_secrets": [{ "key": name, "secret": name }],
                    "acls": [{ "group": name }, { "group": "all" }],
                    "plugins": [{ "name": "cors" }],
                    "oauth2_credentials": [{
                        "name": name, "client_id": name, "client_secret": name, "hash_secret": true,
                    }],
                })
            }),
        ),
        (
            "upstreams",
            each(&|name| {
                json!({
                    "name": format!("{name}.up"),
                    "slots": 100,
                    "targets": [{ "target": format!("{name}.test:80"), "weight": 5 }],
                })
            }),
        ),
        ("key_sets", each(&|name| json!({ "name": name }))),
        (
            "vaults",
            each(&|name| {
                json!({
                    "prefix": format!("{name}-v"), "name": "env", "config": { "prefix": "A_" },
                })
            }),
        ),
    ];
    sections
        .map(|(name, list)| (name.to_owned(), list))
        .into_iter()
        .collect()
}

/// A configuration that is valid.
fn configuration() -> impl Strategy<Value = Value> {
    let names = prop::collection::btree_set("[a-z]{1,6}", 0..5);
    (
        names,
        prop::collection::vec(("/[a-z]{1,4}", any::<bool>()), 5),
    )
        .prop_map(|(names, details)| {
            let names: Vec<String> = names.into_iter().collect();
            let mut document = around(&names);
            let services: Vec<Value> = names
                .into_iter()
                .zip(details)
                .map(|(name, (path, enabled))| {
                    json!({
                        "name": name,
                        "url": format!("http://{name}.test{path}"),
                        "enabled": enabled,
                        "routes": [{
                            "name": format!("{name}-route"),
                            "paths": [path],
                            "plugins": [{ "name": "cors", "config": { "origins": [name] } }],
                        }],
                    })
                })
                .collect();
            document.insert("_format_version".to_owned(), "3.0".into());
            document.insert("services".to_owned(), services.into());
            Value::Object(document)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_entity_makes_the_checks_panic(kind in 0..SCHEMAS.kinds().len(), input in any_object(), patch in any_object()) {
        let kind = SCHEMAS.kinds()[kind].name;
        if let Ok(entity) = SCHEMAS.insert(kind, input, now()) {
            let _ = SCHEMAS.update(kind, &entity, patch, now());
        } else {
            let _ = SCHEMAS.update(kind, &Map::new(), patch, now());
        }
    }

    #[test]
    fn no_document_makes_the_parser_panic(mut document in any_object(), sections in any_json()) {
        document.insert("_format_version".into(), "3.0".into());
        document.insert("services".into(), json!([sections]));
        if let Err(error) = parse(Value::Object(document), &SCHEMAS, now()) {
            prop_assert!(!error.error.message.is_empty());
            let _ = error.flattened();
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[-\\[\\]{}:,&*!|>'\"%@`#? \na-z0-9~<]{0,60}") {
        let _ = parse_text(&text);
    }

    #[test]
    fn exporting_what_was_exported_changes_nothing(document in configuration()) {
        let table = parse(document, &SCHEMAS, now()).unwrap();
        let export = dump(&table);
        let text = to_yaml(&export);
        let again = parse(parse_text(&text).unwrap(), &SCHEMAS, now()).unwrap();
        prop_assert_eq!(dump(&again), export);
    }

    #[test]
    fn validating_what_was_completed_changes_nothing(name in "[a-z]{1,8}", path in "/[a-z]{0,8}") {
        let input = json!({ "name": name, "host": "a.test", "path": path });
        let Value::Object(input) = input else { unreachable!() };
        let entity = SCHEMAS.insert("services", input, now()).unwrap();
        prop_assert_eq!(&SCHEMAS.insert("services", entity.clone(), now()).unwrap(), &entity);
    }
}
