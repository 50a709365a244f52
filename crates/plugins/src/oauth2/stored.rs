//! Codes and tokens, as they are kept.

use std::time::Duration;

use keelgate_entities::{Object, Reference};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::records::{RecordId, Records};

use super::answer::Failure;

/// The collection of tokens.
pub(super) const TOKENS: &str = "oauth2_tokens";

/// The collection of codes.
pub(super) const CODES: &str = "oauth2_authorization_codes";

/// How long a code is good for.
pub(super) const CODE_LASTS: Duration = Duration::from_secs(300);

/// A token, and what refreshes it.
#[derive(Clone, Deserialize)]
pub(super) struct Token {
    pub(super) id: Uuid,
    /// Seconds since 1970.
    pub(super) created_at: f64,
    pub(super) service: Option<Reference>,
    pub(super) credential: Reference,
    /// Seconds that it is good for; 0 for any.
    pub(super) expires_in: i64,
    pub(super) access_token: Option<String>,
    pub(super) refresh_token: Option<String>,
    pub(super) authenticated_userid: Option<String>,
    pub(super) scope: Option<String>,
}

/// What a user's consent is exchanged for a token by.
#[derive(Deserialize)]
pub(super) struct Code {
    pub(super) id: Uuid,
    /// Seconds since 1970.
    pub(super) created_at: f64,
    pub(super) service: Option<Reference>,
    pub(super) credential: Reference,
    pub(super) plugin: Option<Reference>,
    pub(super) authenticated_userid: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) challenge: Option<String>,
    pub(super) challenge_method: Option<String>,
}

impl Token {
    pub(super) fn read(record: Object) -> Result<Self, Failure> {
        Ok(Self::deserialize(Value::Object(record))?)
    }

    pub(super) fn id(&self) -> RecordId {
        RecordId {
            kind: TOKENS,
            id: self.id.to_string(),
        }
    }

    pub(super) fn is_over(&self, now: u64) -> bool {
        // Zero stands for no end.
        self.expires_in > 0 && now as f64 - self.created_at > self.expires_in as f64
    }

    /// The token with this value in a field.
    pub(super) async fn find(
        records: &dyn Records,
        field: &'static str,
        value: &str,
    ) -> Result<Option<Self>, Failure> {
        let found = records.find(TOKENS, field, value).await?;
        found.map(Self::read).transpose()
    }
}

impl Code {
    pub(super) fn id(&self) -> RecordId {
        RecordId {
            kind: CODES,
            id: self.id.to_string(),
        }
    }

    /// The code, unless its time is over.
    pub(super) async fn find(
        records: &dyn Records,
        code: &str,
        now: u64,
    ) -> Result<Option<Self>, Failure> {
        let Some(found) = records.find(CODES, "code", code).await? else {
            return Ok(None);
        };
        let found = Self::deserialize(Value::Object(found))?;
        let age = now as f64 - found.created_at;
        Ok((age <= CODE_LASTS.as_secs_f64()).then_some(found))
    }
}
