//! The health of targets: told, and set by an operator.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{Method, StatusCode};
use keelgate_entities::Object;
use serde_json::{Value, json};
use uuid::Uuid;

use super::targets::{self, NAMES};
use super::writer::id_of;
use super::{child, writer};
use crate::admin::State;
use crate::call::Call;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Outcome, Routes};

/// Port of an address that names none.
const DEFAULT_PORT: u16 = 8000;

/// The part of a path that names an address.
const ADDRESS: &str = "address";

/// Adds what is told.
pub(crate) fn add_reading(routes: &mut Routes) {
    routes.on(Method::GET, "/upstreams/{upstreams}/health", list);
}

/// Adds what sets; control planes have no health to set.
pub(crate) fn add_setting(routes: &mut Routes) {
    let target = "/upstreams/{upstreams}/targets/{targets}";
    for (word, healthy) in [("healthy", true), ("unhealthy", false)] {
        for path in [
            format!("{target}/{word}"),
            format!("{target}/{{{ADDRESS}}}/{word}"),
        ] {
            routes.on(Method::PUT, &path, move |state, call| {
                set(state, call, healthy)
            });
        }
    }
}

async fn list(state: Arc<State>, call: Call) -> Outcome {
    let owner = child::owner(&state, NAMES.parent, call.segment(NAMES.parent)).await?;
    let id = uuid(&owner);
    let node_id = json!(state.admin.node.id);
    let balancers = state.admin.balancers.as_ref();
    let health = balancers.and_then(|balancers| balancers.health(id));
    if call.query("balancer_health") == Some("1") {
        let data = health.map(|health| health.json(id));
        let body = json!({ "data": data, "next": null, "node_id": node_id });
        return Ok(respond::ok(&body));
    }
    let (mut listed, offset) = targets::newest_first(&state, &call).await?;
    if let Some(health) = &health {
        for target in &mut listed {
            let known = health.target(uuid(target));
            target.insert("health".to_owned(), json!(health.of_target(known)));
            if let Some(known) = known {
                target.insert("data".to_owned(), health.data(known));
            }
        }
    }
    let mut body = Object::new();
    body.insert("data".to_owned(), json!(listed));
    let next = offset
        .as_ref()
        .map(|offset| format!("{}?offset={offset}", targets::path(&call, "health")));
    if let Some(offset) = offset {
        body.insert("offset".to_owned(), json!(offset));
    }
    body.insert("next".to_owned(), json!(next));
    body.insert("node_id".to_owned(), node_id);
    Ok(respond::ok(&body))
}

async fn set(state: Arc<State>, call: Call, healthy: bool) -> Outcome {
    let owner = child::owner(&state, NAMES.parent, call.segment(NAMES.parent)).await?;
    let above = call.segment(NAMES.parent).to_owned();
    let below = call.segment(NAMES.child).to_owned();
    let target = writer::view(&state, move |writer| targets::find(writer, &above, &below)).await?;
    let name = owner.get("name").and_then(Value::as_str);
    let Some(balancers) = &state.admin.balancers else {
        let name = name.unwrap_or_default();
        return Err(Failure::bad_request(format!(
            "Upstream {name} has no balancer"
        )));
    };
    let address = address(call.segment(ADDRESS));
    match balancers.set_health(uuid(&owner), uuid(&target), address, healthy) {
        Ok(()) => Ok(respond::no_content()),
        Err(error) => Err(Failure::message(StatusCode::BAD_REQUEST, error.to_string())),
    }
}

fn uuid(entity: &Object) -> Uuid {
    id_of(entity).parse().unwrap_or_default()
}

/// One address of a target; a name, or nothing, stands for all of them.
fn address(text: &str) -> Option<SocketAddr> {
    let bare = text.trim_matches(['[', ']']);
    text.parse()
        .ok()
        .or_else(|| Some(SocketAddr::new(bare.parse::<IpAddr>().ok()?, DEFAULT_PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_port() {
        assert_eq!(address("10.0.0.1:80"), Some(([10, 0, 0, 1], 80).into()));
        assert_eq!(address("10.0.0.1"), Some(([10, 0, 0, 1], 8000).into()));
        assert_eq!(address("[::1]:80"), "[::1]:80".parse().ok());
        assert_eq!(address("[::1]"), "[::1]:8000".parse().ok());
        assert_eq!(address("a.test:80"), None);
        assert_eq!(address(""), None);
    }
}
