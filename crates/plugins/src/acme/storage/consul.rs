//! The key-value store of Consul, where Kong's nodes find certificates as well.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use http::header::{HeaderMap, HeaderName};
use serde::Deserialize;

use super::web::{self, Web, WebError};

const TOKEN: HeaderName = HeaderName::from_static("x-consul-token");

/// A part of the store.
#[derive(Clone)]
pub(crate) struct Consul {
    web: Web,
    headers: HeaderMap,
    /// Goes before all keys.
    path: String,
}

/// What the store tells of a key.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    /// In base64.
    value: Option<String>,
    /// Until when it counts, in milliseconds since 1970; 0 for good. The store knows no such thing by itself.
    #[serde(default)]
    flags: u64,
    modify_index: u64,
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

impl Consul {
    /// # Errors
    /// Why the token cannot be one.
    pub(crate) fn new(web: Web, path: Option<&str>, token: Option<&str>) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert(TOKEN, web::secret(token)?);
        }
        let path = format!("v1/kv/{}", web::below(path.unwrap_or("acme")));
        Ok(Self { web, headers, path })
    }

    async fn ask(
        &self,
        method: Method,
        rest: &str,
        body: String,
    ) -> Result<web::Answered, WebError> {
        let path = format!("{}{rest}", self.path);
        self.web
            .ask(method, &path, self.headers.clone(), body)
            .await
    }

    async fn entry(&self, key: &str) -> Result<Option<Entry>, WebError> {
        let answer = self
            .ask(Method::GET, &web::part(key), String::new())
            .await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let entries: Vec<Entry> = serde_json::from_slice(&answer.body)?;
        Ok(entries.into_iter().next())
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<String>, WebError> {
        let Some(entry) = self.entry(key).await? else {
            return Ok(None);
        };
        if entry.is_over() {
            return Ok(None);
        }
        let value = BASE64_STANDARD.decode(entry.value.unwrap_or_default());
        let value = value.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// Keeps a value unless there is one and only new ones are kept; whether it is kept.
    pub(super) async fn put(
        &self,
        key: &str,
        value: &str,
        lasts: Option<Duration>,
        only_new: bool,
    ) -> Result<bool, WebError> {
        let mut path = format!("{}?", web::part(key));
        if let Some(lasts) = lasts {
            let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
            path += &format!("flags={}&", now().saturating_add(lasts));
        }
        if only_new {
            // In place of what is over, so that of two who find it one keeps its value.
            let index = match self.entry(key).await? {
                Some(entry) if !entry.is_over() => return Ok(false),
                Some(entry) => entry.modify_index,
                None => 0,
            };
            path += &format!("cas={index}");
        }
        let answer = self.ask(Method::PUT, &path, value.to_owned()).await?;
        let kept: bool = serde_json::from_slice(&answer.body)?;
        match kept || only_new {
            true => Ok(kept),
            false => Err(WebError::Refused(answer.status, "false".to_owned())),
        }
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), WebError> {
        self.ask(Method::DELETE, &web::part(key), String::new())
            .await?;
        Ok(())
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, WebError> {
        let path = format!("{}?keys", web::part(prefix));
        let answer = self.ask(Method::GET, &path, String::new()).await?;
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = serde_json::from_slice(&answer.body)?;
        let keys = keys.iter().filter_map(|key| key.rsplit('/').next());
        let mut keys: Vec<String> = keys
            .filter(|key| key.starts_with(prefix))
            .map(str::to_owned)
            .collect();
        keys.sort_unstable();
        Ok(keys)
    }
}

impl Entry {
    fn is_over(&self) -> bool {
        self.flags > 0 && self.flags < now()
    }
}
