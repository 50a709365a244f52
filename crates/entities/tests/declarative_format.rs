//! The declarative format: forms, ids, errors, and the way back.

use std::time::{Duration, SystemTime};

use keelgate_entities::declarative::{
    DeclarativeError, Table, check, dump, parse, parse_config_table, parse_text, to_yaml,
};
use keelgate_entities::{Config, Field, PluginSchema, Schemas};
use serde_json::{Value, json};

const ID: &str = "22222222-2222-4222-8222-222222222222";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn schemas() -> Schemas {
    Schemas::new(vec![
        PluginSchema::new("cors", 2000, "3.9.1")
            .field(Field::boolean("credentials").required().default(false))
            .http_only(),
    ])
}

fn read(document: Value) -> Result<Table, DeclarativeError> {
    parse(document, &schemas(), now())
}

fn refused(document: Value) -> Value {
    let error = read(document).expect_err("the document is refused").error;
    assert_eq!(
        (error.code, error.name),
        (14, "invalid declarative configuration")
    );
    error.fields
}

#[test]
fn nested_and_flat_forms_are_the_same() {
    let nested = read(json!({
        "_format_version": "3.0",
        "services": [{
            "name": "s", "host": "h",
            "routes": [{ "name": "r", "paths": ["/a"], "plugins": [{ "name": "cors" }] }],
        }],
    }))
    .unwrap();
    let route = &nested.get("routes")[0];
    assert_eq!(route["service"]["id"], nested.get("services")[0]["id"]);
    assert_eq!(nested.get("plugins")[0]["route"]["id"], route["id"]);

    let by_name = read(json!({
        "_format_version": "3.0",
        "routes": [{ "name": "r", "paths": ["/a"], "service": "s" }],
        "services": [{ "name": "s", "host": "h" }],
    }))
    .unwrap();
    assert_eq!(by_name.get("routes"), nested.get("routes"));
}

#[test]
fn ids_are_derived_from_names_as_kong_derives_them() {
    let table = read(json!({
        "_format_version": "3.0",
        "services": [{ "name": "s", "host": "h", "plugins": [{ "name": "cors" }] }],
        "plugins": [{ "name": "cors" }],
        "upstreams": [{ "name": "up", "targets": [{ "target": "10.0.0.1:80" }] }],
        "consumers": [{ "username": "c", "acls": [{ "group": "g" }] }],
    }))
    .unwrap();
    let ids = |kind: &str| -> Vec<String> {
        let list = table.get(kind).iter();
        list.map(|entity| entity["id"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(ids("services"), ["b268827a-8f7f-551f-8769-e6bceb2f3ec6"]);
    assert_eq!(
        ids("plugins"),
        [
            "3869fa1a-fb43-541b-b3da-0089d5765b2f",
            "48ee727e-8b90-5faa-bda1-a3c6bc3c9daa"
        ]
    );
    assert_eq!(ids("targets"), ["886287b8-ac7c-589a-bdf3-531d32428254"]);
    assert_eq!(ids("acls"), ["be48e645-515d-5215-bbb5-ee11d4ccf980"]);
}

#[test]
fn errors_stand_where_the_entities_stand() {
    let error = read(json!({
        "_format_version": "3.0",
        "services": [{ "name": "ok", "host": "h" }, {
            "name": "s", "host": 5, "routes": [{ "paths": ["x"] }],
        }],
        "nopes": [],
    }))
    .unwrap_err();
    assert_eq!(
        error.error.message,
        "declarative config is invalid: {nopes=\"unknown field\",services={[2]={host=\"expected \
         a string\",routes={{paths={\"should start with: / (fixed path) or ~/ (regex \
         path)\"}}}}}}"
    );
}

#[test]
fn flattened_errors_list_entities_with_references_to_their_parents() {
    let error = read(json!({
        "_format_version": "3.0",
        "services": [{
            "id": ID, "name": "s", "host": "h", "tags": ["t"],
            "routes": [{ "name": "r", "paths": ["x"] }],
        }],
    }))
    .unwrap_err()
    .flattened();
    assert_eq!(error.error.fields, json!({}));
    assert_eq!(error.error.message, "declarative config is invalid: {}");
    assert_eq!(
        error.flattened_errors.unwrap(),
        json!([{
            "entity_type": "route",
            "entity_name": "r",
            "entity": { "name": "r", "paths": ["x"], "service": { "id": ID } },
            "errors": [{
                "type": "field",
                "field": "paths.1",
                "message": "should start with: / (fixed path) or ~/ (regex path)",
            }],
        }])
    );
}

#[test]
fn references_that_lead_nowhere_are_told_by_name() {
    assert_eq!(
        refused(json!({
            "_format_version": "3.0",
            "routes": [{ "name": "r", "paths": ["/a"], "service": "gone" }],
        })),
        json!({ "routes": { "r": [
            "invalid reference 'service: gone' (no such entry in 'services')"
        ] } })
    );
}

#[test]
fn names_and_ids_occur_once() {
    assert_eq!(
        refused(json!({
            "_format_version": "3.0",
            "services": [{ "name": "s", "host": "h" }, { "name": "s", "host": "i" }],
            "consumers": [
                { "username": "c", "custom_id": "x" },
                { "username": "d", "custom_id": "y", "id": ID },
                { "username": "e", "custom_id": "z", "id": ID },
            ],
        })),
        json!({
            "services": [
                null,
                "uniqueness violation: 'services' entity with name set to 's' already declared",
            ],
            "consumers": [null, null, format!(
                "uniqueness violation: 'consumers' entity with primary key set to '{ID}' already \
                 declared"
            )],
        })
    );
}

#[test]
fn versions_before_3_mark_regular_expressions() {
    let table = read(json!({
        "_format_version": "2.1",
        "services": [{ "name": "s", "host": "h", "routes": [{ "name": "r", "paths": ["/\\d+"] }] }],
    }))
    .unwrap();
    assert_eq!(table.get("routes")[0]["paths"], json!(["~/\\d+"]));
    assert_eq!(
        refused(json!({ "_format_version": "4.0" })),
        json!({ "_format_version": "expected one of: 1.1, 2.1, 3.0" })
    );
}

#[test]
fn text_that_is_no_configuration_says_why() {
    let error = parse_text("just text").unwrap_err();
    assert_eq!(
        error.fields["error"],
        "failed parsing declarative configuration: expected an object"
    );
    assert_eq!(parse_text("a: [1]").unwrap(), json!({ "a": [1] }));
    assert_eq!(parse_text("{\"a\": 1}").unwrap(), json!({ "a": 1 }));
}

#[test]
fn the_table_of_the_hybrid_protocol_is_flat_and_read_back() {
    let table = read(json!({
        "_format_version": "3.0",
        "services": [
            { "name": "s", "host": "h", "routes": [{ "name": "r", "paths": ["/a"] }] },
            { "name": "off", "host": "h", "enabled": false,
              "routes": [{ "name": "q", "paths": ["/b"], "plugins": [{ "name": "cors" }] }] },
        ],
        "plugins": [{ "name": "cors", "enabled": false }],
        "keyauth_credentials": [{ "key": "k", "consumer": "c" }],
        "consumers": [{ "username": "c" }],
    }))
    .unwrap();
    let mut wire = table.into_config_table();
    assert_eq!(wire["_transform"], false);
    assert_eq!(wire["routes"].as_array().map(Vec::len), Some(1));
    assert!(wire["routes"][0]["service"].is_string());
    assert!(wire.get("plugins").is_none());
    assert_eq!(wire["services"][0]["path"], Value::Null);

    wire.insert("workspaces".into(), json!([{ "name": "default" }]));
    wire.insert(
        "parameters".into(),
        json!([{ "key": "cluster_id", "value": ID }]),
    );
    wire["services"][0]["from_the_future"] = Value::Null;
    let document = Value::Object(wire.clone());
    assert!(parse(document.clone(), &schemas(), now()).is_err());
    let read_back = parse_config_table(document, &schemas(), now()).unwrap();
    assert_eq!(read_back.get("routes").len(), 1);
    let config: Config = serde_json::from_value(Value::Object(wire)).unwrap();
    assert_eq!(
        config.routes.to_vec()[0].service.map(|s| s.0),
        Some(config.services.to_vec()[0].id)
    );
}

#[test]
fn an_export_is_read_back_as_it_was() {
    let table = read(json!({
        "_format_version": "3.0",
        "services": [{ "name": "s", "host": "h", "routes": [{ "name": "r", "paths": ["/a"] }] }],
        "consumers": [{ "username": "c", "basicauth_credentials": [
            { "username": "u", "password": "p" }
        ] }],
    }))
    .unwrap();
    let export = dump(&table);
    let text = to_yaml(&export);
    assert!(text.starts_with("_format_version: '3.0'\n_transform: false\n"));
    let again = read(parse_text(&text).unwrap()).unwrap();
    assert_eq!(dump(&again), export);
}

#[test]
fn a_draft_is_what_was_written_and_a_table_what_is_served() {
    let document = json!({
        "_format_version": "3.0",
        "consumers": [{ "username": "c", "basicauth_credentials": [
            { "username": "u", "password": "p" }
        ] }],
    });
    let schemas = schemas();
    let draft = check(document, &schemas, now()).unwrap();
    assert_eq!(
        draft.entities().get("basicauth_credentials")[0]["password"],
        "p"
    );
    let table = draft.into_table();
    let served = &table.get("basicauth_credentials")[0]["password"];
    assert_eq!(served.as_str().map(str::len), Some(40));
}

#[test]
fn debug_output_holds_no_secrets() {
    let document = json!({
        "_format_version": "3.0",
        "consumers": [{ "username": "c", "keyauth_credentials": [{ "key": "hidden" }] }],
    });
    let table = read(document.clone()).unwrap();
    assert_eq!(
        format!("{table:?}"),
        r#"{"consumers": 1, "keyauth_credentials": 1}"#
    );
    let mut refused = document;
    refused["nope"] = json!(1);
    let error = read(refused).unwrap_err();
    assert!(!format!("{error:?}").contains("hidden"));
}
