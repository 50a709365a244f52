//! `/audit`: who changed what. An endpoint of Keelgate's own.

use std::sync::Arc;

use http::Method;

use crate::admin::{Mode, State};
use crate::call::Call;
use crate::entity::{page_answer, page_size};
use crate::failure::Failure;
use crate::routes::{Outcome, Routes};

pub(super) fn add(routes: &mut Routes) {
    routes.on(Method::GET, "/audit", list);
}

async fn list(state: Arc<State>, call: Call) -> Outcome {
    if matches!(state.admin.mode, Mode::Dbless(_)) {
        let message = "this endpoint is only available with a database";
        return Err(Failure::bad_request(message));
    }
    let size = page_size(&call)?;
    let offset = call.query("offset").map(str::to_owned);
    let page = state.store().audit(size, offset).await?;
    let repeated = call.query("size").map(|_| format!("&size={size}"));
    Ok(page_answer(
        &page.data,
        page.offset.as_deref(),
        "/audit",
        &repeated.unwrap_or_default(),
    ))
}
