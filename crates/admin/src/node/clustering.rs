//! `/clustering/data-planes` and `/clustering/status`.

use std::sync::Arc;

use http::{HeaderValue, Method};
use keelgate_entities::{ApiError, Object};
use serde_json::{Value, json};

use crate::admin::State;
use crate::call::Call;
use crate::entity::page_size;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Outcome, Routes};

pub(super) fn add(routes: &mut Routes) {
    routes.on(Method::GET, "/clustering/data-planes", data_planes);
    routes.on(Method::GET, "/clustering/status", status);
}

/// The data planes in the order of their ids.
fn list(state: &State) -> Result<Vec<Value>, Failure> {
    let Some(planes) = state.admin.data_planes.as_ref() else {
        return Err(Failure::bad_request(
            "this endpoint is only available when Kong is configured to run as Control Plane \
             for the cluster",
        ));
    };
    let mut list = planes.list();
    list.sort_by(|one, other| id(one).cmp(&id(other)));
    Ok(list)
}

fn id(plane: &Value) -> Option<&str> {
    plane.get("id").and_then(Value::as_str)
}

async fn data_planes(state: Arc<State>, call: Call) -> Outcome {
    let all = list(&state)?;
    let size = page_size(&call)?;
    if !(1..=1000).contains(&size) {
        let message = "size must be an integer between 1 and 1000";
        return Err(ApiError::invalid_size(message).into());
    }
    let after = call.query("offset").unwrap_or_default();
    let mut rest = all.into_iter().filter(|plane| id(plane) > Some(after));
    let page: Vec<_> = rest.by_ref().take(size).collect();
    let offset = rest.next().and(page.last()).and_then(id).map(str::to_owned);
    Ok(crate::entity::page_answer(
        &page,
        offset.as_deref(),
        "/clustering/data-planes",
        &format!("&size={size}"),
    ))
}

async fn status(state: Arc<State>, _call: Call) -> Outcome {
    let mut body = Object::new();
    for plane in list(&state)? {
        let Some(id) = id(&plane).map(str::to_owned) else {
            continue;
        };
        let fields = ["config_hash", "hostname", "ip", "last_seen"];
        let row: Object = fields
            .iter()
            .map(|field| ((*field).to_owned(), plane[*field].clone()))
            .collect();
        body.insert(id, json!(row));
    }
    let mut response = respond::ok(&body);
    let deprecated = HeaderValue::from_static("true");
    response.headers_mut().insert("deprecation", deprecated);
    Ok(response)
}
