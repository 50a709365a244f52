//! What clients of the Admin API rely on: messages, defaults, merges.

use std::time::{Duration, SystemTime};

use keelgate_entities::{ApiError, Field, Object, PluginSchema, Schemas};
use serde_json::{Value, json};

const SERVICE: &str = "11111111-1111-4111-8111-111111111111";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250)
}

fn schemas() -> Schemas {
    let limiter = PluginSchema::new("limiter", 900, "1.0.0")
        .field(Field::number("minute").gt(0.0))
        .field(
            Field::string("policy")
                .default("local")
                .one_of(["local", "shared"]),
        )
        .field(Field::record(
            "store",
            [Field::string("host"), Field::integer("port").default(6379)],
        ))
        .shorthand(
            keelgate_entities::schema::Shorthand::new(Field::string("store_host"), |value| {
                object(json!({ "store": { "host": value } }))
            })
            .replaced_with(&["store", "host"]),
        )
        .check(keelgate_entities::schema::CheckRule::at_least_one_of(&[
            "config.minute",
        ]))
        .http_only()
        .no_consumer();
    Schemas::new(vec![limiter])
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

fn insert(kind: &str, input: Value) -> Result<Value, ApiError> {
    schemas()
        .insert(kind, object(input), now())
        .map(Value::Object)
}

/// The message of the refusal.
fn refused(kind: &str, input: Value) -> String {
    let error = insert(kind, input).expect_err("the input is refused");
    assert_eq!(error.code, 2);
    assert_eq!(error.status(), 400);
    error.message
}

#[test]
fn a_service_is_completed_with_defaults_id_and_time_stamps() {
    let service = insert("services", json!({ "host": "a.test" })).unwrap();
    assert_eq!(service["protocol"], "http");
    assert_eq!(service["port"], 80);
    assert_eq!(service["connect_timeout"], 60_000);
    assert_eq!(service["path"], Value::Null);
    assert_eq!(service["created_at"], 1_700_000_000);
    assert_eq!(service["updated_at"], 1_700_000_000);
    assert_eq!(service["id"].as_str().map(str::len), Some(36));
}

#[test]
fn several_violations_are_sorted_by_field() {
    let error = insert("services", json!({ "port": 70000, "nope": 1 })).unwrap_err();
    assert_eq!(
        error.message,
        "3 schema violations (host: required field missing; nope: unknown field; port: value \
         should be between 0 and 65535)"
    );
    assert_eq!(error.name, "schema violation");
    assert_eq!(
        error.fields,
        json!({
            "host": "required field missing",
            "nope": "unknown field",
            "port": "value should be between 0 and 65535",
        })
    );
}

#[test]
fn a_url_stands_for_protocol_host_port_and_path() {
    let service = insert("services", json!({ "url": "https://u@a.test/x?y" })).unwrap();
    assert_eq!(service["protocol"], "https");
    assert_eq!(service["host"], "a.test");
    assert_eq!(service["port"], 443);
    assert_eq!(service["path"], "/x");
    assert!(service.get("url").is_none());
    assert_eq!(
        refused("services", json!({ "url": "ftp://a.test" })),
        "schema violation (protocol: expected one of: grpc, grpcs, http, https, tcp, tls, \
         tls_passthrough, udp)"
    );
}

#[test]
fn fields_that_exclude_each_other_are_told_with_the_field_that_decides() {
    assert_eq!(
        refused(
            "services",
            json!({ "host": "a.test", "protocol": "tcp", "path": "/x" })
        ),
        "2 schema violations (failed conditional validation given value of field 'protocol'; \
         path: value must be null)"
    );
}

#[test]
fn routes_need_something_to_match_by_their_protocol() {
    assert_eq!(
        refused("routes", json!({ "protocols": ["http"] })),
        "schema violation (must set one of 'methods', 'hosts', 'headers', 'paths' when \
         'protocols' is 'http')"
    );
    assert_eq!(
        refused("routes", json!({ "protocols": [] })),
        "schema violation (protocols: unknown type: nil)"
    );
    assert_eq!(
        refused(
            "routes",
            json!({ "protocols": ["tcp"], "sources": [{ "port": 1 }], "hosts": ["a.test"] })
        ),
        "schema violation (hosts: cannot set 'hosts' when 'protocols' is 'tcp', 'tls', \
         'tls_passthrough' or 'udp')"
    );
}

#[test]
fn errors_in_lists_keep_their_positions() {
    let error = insert("routes", json!({ "paths": ["a", "/ok", "b"] })).unwrap_err();
    let message = "should start with: / (fixed path) or ~/ (regex path)";
    assert_eq!(error.fields, json!({ "paths": [message, null, message] }));
    assert!(error.message.contains("paths.3: "));
}

#[test]
fn grpc_routes_do_not_strip_paths() {
    let route = insert("routes", json!({ "protocols": ["grpc"], "paths": ["/a"] })).unwrap();
    assert_eq!(route["strip_path"], false);
}

#[test]
fn references_need_an_id() {
    assert_eq!(
        refused("routes", json!({ "paths": ["/a"], "service": {} })),
        "schema violation (service.id: missing primary key)"
    );
    let route = insert(
        "routes",
        json!({ "paths": ["/a"], "service": { "id": SERVICE, "name": "s" } }),
    )
    .unwrap();
    assert_eq!(route["service"], json!({ "id": SERVICE }));
}

#[test]
fn references_by_a_unique_field_are_listed_for_the_store() {
    let schemas = schemas();
    let input = object(json!({ "paths": ["/a"], "service": { "name": "s" } }));
    let found = schemas.references_by_key("routes", &input);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].kind, found[0].key), ("services", "name"));
    let error = ApiError::foreign_key_unresolved("service", "services", "name", &json!("s"));
    assert_eq!(
        error.message,
        "foreign key unresolved (service.name: the foreign key cannot be resolved with \
         '{name=\"s\"}' for an existing 'services' entity)"
    );
}

#[test]
fn upstreams_have_health_checks_and_an_algorithm_that_fits_what_is_hashed() {
    let upstream = insert(
        "upstreams",
        json!({ "name": "up", "hash_on": "header", "hash_on_header": "x" }),
    )
    .unwrap();
    assert_eq!(upstream["algorithm"], "consistent-hashing");
    assert_eq!(
        upstream["healthchecks"]["active"]["healthy"]["http_statuses"],
        json!([200, 302])
    );
    assert_eq!(
        refused("upstreams", json!({ "name": "up", "hash_on": "header" })),
        "2 schema violations (failed conditional validation given value of field 'hash_on'; \
         hash_on_header: required field missing)"
    );
}

#[test]
fn nested_errors_deeper_than_two_levels_are_written_as_tables() {
    let message = refused(
        "upstreams",
        json!({ "name": "up", "healthchecks": { "active": { "healthy": { "successes": 256 } } } }),
    );
    assert_eq!(
        message,
        "schema violation (healthchecks.active: {\n  healthy = {\n    successes = \"value should \
         be between 0 and 255\"\n  }\n})"
    );
}

#[test]
fn targets_get_a_port_and_time_stamps_with_milliseconds() {
    let target = insert(
        "targets",
        json!({ "target": "a.test", "upstream": { "id": SERVICE } }),
    )
    .unwrap();
    assert_eq!(target["target"], "a.test:8000");
    assert_eq!(target["created_at"], 1_700_000_000.25);
}

#[test]
fn keys_are_made_when_absent() {
    let key = insert(
        "keyauth_credentials",
        json!({ "consumer": { "id": SERVICE } }),
    )
    .unwrap();
    assert_eq!(key["key"].as_str().map(str::len), Some(32));
    assert_eq!(key["ttl"], Value::Null);
}

#[test]
fn passwords_are_stored_as_salted_digests() {
    let credential = insert(
        "basicauth_credentials",
        json!({ "username": "a", "password": "p", "consumer": { "id": SERVICE } }),
    )
    .unwrap();
    let password = credential["password"].as_str().unwrap();
    assert_eq!(password.len(), 40);
    assert_ne!(password, "p");
}

#[test]
fn settings_of_plugins_are_checked_by_the_plugin_that_is_named() {
    assert_eq!(
        refused("plugins", json!({ "name": "nope" })),
        "schema violation (name: plugin 'nope' not enabled; add it to the 'plugins' \
         configuration property)"
    );
    assert_eq!(
        refused(
            "plugins",
            json!({ "name": "limiter", "config": { "minute": 0, "policy": "x" } })
        ),
        "2 schema violations (config.minute: value must be greater than 0; config.policy: \
         expected one of: local, shared)"
    );
    assert_eq!(
        refused("plugins", json!({ "name": "limiter" })),
        "schema violation (at least one of these fields must be non-empty: 'config.minute')"
    );
    assert_eq!(
        refused(
            "plugins",
            json!({
                "name": "limiter",
                "config": { "minute": 1 },
                "consumer": { "id": SERVICE },
            })
        ),
        "schema violation (consumer: value must be null)"
    );
    let plugin = insert(
        "plugins",
        json!({ "name": "limiter", "config": { "minute": 1 } }),
    )
    .unwrap();
    assert_eq!(
        plugin["protocols"],
        json!(["grpc", "grpcs", "http", "https"])
    );
    assert_eq!(plugin["config"]["store"]["port"], 6379);
}

#[test]
fn old_names_of_settings_stand_beside_the_new_ones_and_must_agree() {
    let config = |config: Value| insert("plugins", json!({ "name": "limiter", "config": config }));
    let plugin = config(json!({ "minute": 1, "store_host": "a.test" })).unwrap();
    assert_eq!(plugin["config"]["store"]["host"], "a.test");
    assert_eq!(plugin["config"]["store_host"], "a.test");
    let error = config(json!({
        "minute": 1, "store_host": "a.test", "store": { "host": "b.test" },
    }))
    .unwrap_err();
    assert_eq!(
        error.fields["store_host"],
        "both deprecated and new field are used but their values mismatch: store_host = a.test \
         vs store.host = b.test"
    );
}

#[test]
fn a_patch_merges_records_and_replaces_lists() {
    let schemas = schemas();
    let current = object(
        insert(
            "plugins",
            json!({ "name": "limiter", "config": { "minute": 1, "store": { "host": "a.test" } } }),
        )
        .unwrap(),
    );
    let patch = object(json!({ "config": { "store": { "port": 1 } }, "protocols": ["http"] }));
    let later = now() + Duration::from_secs(5);
    let changed = schemas.update("plugins", &current, patch, later).unwrap();
    assert_eq!(changed["config"]["minute"], 1);
    assert_eq!(
        changed["config"]["store"],
        json!({ "host": "a.test", "port": 1 })
    );
    assert_eq!(changed["protocols"], json!(["http"]));
    assert_eq!(changed["created_at"], 1_700_000_000);
    assert_eq!(changed["updated_at"], 1_700_000_005);
}

#[test]
fn a_patch_that_breaks_a_rule_says_that_it_was_an_update() {
    let schemas = schemas();
    let current = object(insert("consumers", json!({ "username": "a" })).unwrap());
    let patch = object(json!({ "username": null }));
    let error = schemas
        .update("consumers", &current, patch, now())
        .unwrap_err();
    assert_eq!(
        error.message,
        "schema violation (when updating, at least one of these fields must be non-empty: \
         'custom_id', 'username')"
    );
}

#[test]
fn a_put_replaces_all_but_id_and_creation() {
    let schemas = schemas();
    let current = object(insert("services", json!({ "host": "a.test", "retries": 1 })).unwrap());
    let later = now() + Duration::from_secs(5);
    let input = object(json!({ "host": "b.test" }));
    let put = schemas
        .upsert("services", Some(&current), input, later)
        .unwrap();
    assert_eq!(put["retries"], 5);
    assert_eq!(put["id"], current["id"]);
    assert_eq!(put["created_at"], 1_700_000_000);
    assert_eq!(put["updated_at"], 1_700_000_005);
}

#[test]
fn references_to_secrets_pass_where_a_field_takes_them() {
    let vault = "{vault://env/cert}";
    let certificate = insert("certificates", json!({ "cert": vault, "key": vault })).unwrap();
    assert_eq!(certificate["cert"], vault);
    assert!(insert("ca_certificates", json!({ "cert": vault })).is_err());
}

#[test]
fn kinds_that_are_referred_to_come_first() {
    let schemas = schemas();
    let names: Vec<&str> = schemas.kinds().iter().map(|kind| kind.name).collect();
    for (index, kind) in schemas.kinds().iter().enumerate() {
        for foreign in kind.foreign_keys() {
            assert!(names[..index].contains(&foreign.kind), "{}", kind.name);
        }
    }
}

#[test]
fn unique_keys_are_those_of_fields_and_of_scopes() {
    let schemas = schemas();
    let keys = |kind: &str| -> Vec<Vec<&str>> {
        let schema = schemas.kind(kind).expect("a kind");
        schema
            .unique_keys()
            .iter()
            .map(|key| key.fields.to_vec())
            .collect()
    };
    assert_eq!(keys("consumers"), [["username"], ["custom_id"]]);
    assert_eq!(keys("targets"), [["upstream", "target"]]);
    assert!(keys("plugins").contains(&vec!["name", "route", "service", "consumer"]));
}
