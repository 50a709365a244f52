//! `/config`: the whole configuration of a node without a database.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use keelgate_entities::declarative::{self, DeclarativeError, Table};
use keelgate_entities::{ApiError, Object};
use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::admin::{LoadError, Loader, Mode, State};
use crate::arguments::Arguments;
use crate::call::Call;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Outcome, Routes};

/// Largest configuration: 100,000 routes are some 50 MiB.
const BODY_LIMIT: usize = 256 << 20;

pub(super) fn add(routes: &mut Routes) {
    routes.on(Method::GET, "/config", read);
    routes.on(Method::POST, "/config", write);
    routes.limit("/config", DefaultBodyLimit::max(BODY_LIMIT));
}

fn loader(state: &State) -> Result<Arc<dyn Loader>, Failure> {
    match &state.admin.mode {
        Mode::Dbless(loader) => Ok(Arc::clone(loader)),
        Mode::Database => Err(Failure::bad_request(
            "this endpoint is only available when Kong is configured to not use a database",
        )),
    }
}

async fn read(state: Arc<State>, _call: Call) -> Outcome {
    loader(&state)?;
    let (_, table) = state.store().export().await?;
    let text = declarative::to_yaml(&declarative::dump(&table));
    Ok(respond::ok(&json!({ "config": text })))
}

async fn write(state: Arc<State>, call: Call) -> Outcome {
    let loader = loader(&state)?;
    let sent = Sent::read(&call).await?;
    let flatten = sent.flatten;
    let schemas = Arc::clone(state.schemas());
    let now = state.now();
    // Parsing and compiling a large configuration takes seconds.
    let loading = tokio::task::spawn_blocking(move || {
        let hash = config_hash(&sent.text);
        if sent.check_hash && sent.is_text && loader.hash() == hash {
            return Ok(None);
        }
        let document = sent.document().map_err(DeclarativeError::from)?;
        let draft = declarative::check(document, &schemas, now)?;
        let shown = by_id(draft.entities());
        loader.load(draft.into_table(), &hash)?;
        Ok(Some(shown))
    });
    let loaded = loading
        .await
        .map_err(|error| Failure::Internal(error.to_string()))?;
    match loaded {
        Ok(Some(entities)) => Ok(respond::json(StatusCode::CREATED, &entities)),
        Ok(None) => Ok(StatusCode::NOT_MODIFIED.into_response()),
        Err(LoadError::Refused(error)) => {
            let error = if flatten { error.flattened() } else { error };
            Err(Failure::Body(StatusCode::BAD_REQUEST, json!(error)))
        }
        Err(LoadError::Busy) => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            let failure = Failure::message(status, "Currently loading previous configuration");
            let mut response = failure.into_response();
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            Ok(response)
        }
        Err(LoadError::Stopping) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Err(Failure::message(status, "Kong currently exiting"))
        }
        Err(LoadError::Failed(reason)) => Err(Failure::Internal(reason)),
    }
}

/// Entities by kind and id, which is how the answer shows them: as they were sent, completed.
fn by_id(table: &Table) -> Object {
    let kinds = table.iter().map(|(kind, entities)| {
        let entities = entities.iter().map(|entity| {
            let id = entity.get("id").and_then(Value::as_str);
            (
                id.unwrap_or_default().to_owned(),
                Value::Object(entity.clone()),
            )
        });
        (kind.to_owned(), Value::Object(entities.collect()))
    });
    kinds.collect()
}

/// A configuration as it was sent.
struct Sent {
    text: String,
    /// Set where the body was the configuration itself, as JSON.
    document: Option<Value>,
    /// Whether the hash of the text identifies it.
    is_text: bool,
    check_hash: bool,
    flatten: bool,
}

impl Sent {
    async fn read(call: &Call) -> Result<Self, Failure> {
        let media_type = call.content_type().to_ascii_lowercase();
        let mut members = if media_type.contains("yaml") {
            let text = String::from_utf8_lossy(&call.body).into_owned();
            Object::from_iter([("config".to_owned(), Value::String(text))])
        } else {
            Arguments::read(call).await?.raw()
        };
        for name in ["check_hash", "flatten_errors"] {
            if let Some(value) = call.query(name) {
                members.insert(name.to_owned(), json!(value));
            }
        }
        let check_hash = members
            .remove("check_hash")
            .is_some_and(|value| value == json!("1") || value == json!(1));
        let flatten = members
            .remove("flatten_errors")
            .is_some_and(|value| truthy(&value));
        let (text, document) = match members.get("config") {
            Some(Value::String(text)) if !members.contains_key("_format_version") => {
                (text.clone(), None)
            }
            _ if media_type.starts_with("application/json")
                || members.contains_key("_format_version") =>
            {
                let document = Value::Object(members);
                (document.to_string(), Some(document))
            }
            _ => return Err(Failure::bad_request("expected a declarative configuration")),
        };
        Ok(Self {
            is_text: document.is_none(),
            text,
            document,
            check_hash,
            flatten,
        })
    }

    fn document(self) -> Result<Value, ApiError> {
        match self.document {
            Some(document) => Ok(document),
            None => declarative::parse_text(&self.text),
        }
    }
}

fn truthy(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Number(value) => value.as_i64() == Some(1),
        Value::String(text) => {
            ["true", "1", "on", "yes"].contains(&text.to_ascii_lowercase().as_str())
        }
        _ => false,
    }
}

/// The MD5 of a configuration's text, as clients compute it to compare.
pub fn config_hash(text: &str) -> String {
    let digest = Md5::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
