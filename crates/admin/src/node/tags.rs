//! `/tags` and `/tags/T`.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use crate::admin::State;
use crate::call::Call;
use crate::entity::{page_answer, page_size, token};
use crate::routes::{Outcome, Routes};

pub(super) fn add(routes: &mut Routes) {
    routes.on(Method::GET, "/tags", async |state, call| {
        list(state, call, None).await
    });
    routes.on(Method::GET, "/tags/{tags}", async |state, call: Call| {
        let tag = call.segment("tags").to_owned();
        list(state, call, Some(tag)).await
    });
}

async fn list(state: Arc<State>, call: Call, tag: Option<String>) -> Outcome {
    let (path, repeated) = match (&tag, call.query("size")) {
        (Some(tag), _) => (format!("/tags/{}", token(tag)), String::new()),
        (None, Some(size)) => ("/tags".to_owned(), format!("&size={}", token(size))),
        (None, None) => ("/tags".to_owned(), String::new()),
    };
    let offset = call.query("offset").map(str::to_owned);
    let page = state.store().tagged(tag, page_size(&call)?, offset).await?;
    let data: Vec<Value> = page
        .data
        .iter()
        .map(|used| json!({ "tag": used.tag, "entity_name": used.kind, "entity_id": used.id }))
        .collect();
    Ok(page_answer(&data, page.offset.as_deref(), &path, &repeated))
}
