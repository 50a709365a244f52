//! What every store does. Written against the trait; each implementation runs it.

mod audit;
mod configuration;
mod epochs;
pub mod expiry;
mod reads;
mod records;
mod round_trip;
mod writes;

use std::sync::Arc;

use keelgate_entities::declarative::Table;
use keelgate_entities::{ApiError, Object, Schemas};
use keelgate_store::StoreError;
use serde_json::{Value, json};

pub use audit::audit;
pub use epochs::epochs;
pub use reads::reads;
pub use records::records;
pub use round_trip::{forms_are_the_same, round_trip};
pub use writes::writes;

pub fn schemas() -> Arc<Schemas> {
    Arc::new(Schemas::new(Vec::new()))
}

/// An id that sorts as its number does.
pub fn id(number: u32) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

pub fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

pub fn service(number: u32, name: &str, tags: &[&str]) -> Object {
    object(json!({"id": id(number), "name": name, "host": "h.test", "tags": tags}))
}

pub fn route(number: u32, service: Option<u32>) -> Object {
    let service = service.map(|service| json!({"id": id(service)}));
    object(json!({"id": id(number), "name": null, "paths": ["/"], "service": service}))
}

pub fn consumer(number: u32, name: &str) -> Object {
    object(json!({"id": id(number), "username": name}))
}

pub fn credential(number: u32, consumer: u32, key: &str) -> Object {
    object(json!({"id": id(number), "consumer": {"id": id(consumer)}, "key": key}))
}

/// Five services, routes of the first two, a consumer with a credential.
pub fn table(schemas: &Schemas) -> Table {
    let services = vec![
        service(1, "s1", &["red"]),
        service(2, "s2", &["red", "blue"]),
        service(3, "s3", &["blue"]),
        service(4, "s4", &["green"]),
        service(5, "s5", &[]),
    ];
    let routes = vec![
        route(11, Some(1)),
        route(12, Some(2)),
        route(13, Some(1)),
        route(14, None),
    ];
    Table::new(
        schemas,
        [
            ("services".to_owned(), services),
            ("routes".to_owned(), routes),
            ("consumers".to_owned(), vec![consumer(21, "c1")]),
            (
                "keyauth_credentials".to_owned(),
                vec![credential(31, 21, "k1")],
            ),
        ],
    )
}

pub fn rejection<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> ApiError {
    match answer {
        Err(StoreError::Rejected(error)) => error,
        other => panic!("expected a rejection, got {other:?}"),
    }
}
