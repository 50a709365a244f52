//! Making tokens.

use std::time::SystemTime;

use keelgate_entities::{Object, random_secret};
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::{Failure, Fields};
use super::handler::{OAuth2, seconds};
use super::stored::{TOKENS, Token};
use crate::records::{NewRecord, RecordId, Records};

/// What a token is made for.
pub(super) struct Grant<'g> {
    /// The application, by the id of its credential.
    pub(super) application: Uuid,
    /// None for all.
    pub(super) service: Option<Uuid>,
    pub(super) user: Option<&'g str>,
    pub(super) scope: Option<&'g str>,
    /// Whether it can be exchanged for another one.
    pub(super) is_refreshable: bool,
    /// What is used up by it.
    pub(super) instead_of: Option<RecordId>,
}

/// The fields of a record that have a value.
pub(super) fn record(fields: Value) -> Object {
    match fields {
        Value::Object(mut fields) => {
            fields.retain(|_, value| !value.is_null());
            fields
        }
        _ => Object::new(),
    }
}

impl OAuth2 {
    /// A new token; none where what it is made of was used up by somebody else.
    pub(super) async fn grant(
        &self,
        records: &dyn Records,
        grant: Grant<'_>,
    ) -> Result<Option<Fields>, Failure> {
        let is_refreshable = grant.is_refreshable && self.token_expiration > 0;
        let fields = record(json!({
            "service": grant.service.map(|id| json!({ "id": id })),
            "credential": { "id": grant.application },
            "authenticated_userid": grant.user,
            "expires_in": self.token_expiration,
            "refresh_token": is_refreshable.then(random_secret),
            "scope": grant.scope,
        }));
        let made = NewRecord {
            kind: TOKENS,
            fields,
            lasts: self.lasts.filter(|_| self.token_expiration > 0),
        };
        let made = records.make(made, grant.instead_of).await?;
        made.map(|made| Ok(self.tell(Token::read(made)?)))
            .transpose()
    }

    /// The same token under a new name, refreshed by the same as before; none where it is gone.
    pub(super) async fn renew(
        &self,
        records: &dyn Records,
        token: &Token,
    ) -> Result<Option<Fields>, Failure> {
        let fields = record(json!({
            "access_token": random_secret(),
            "expires_in": self.token_expiration,
            "created_at": seconds(SystemTime::now()),
        }));
        let lasts = self.lasts.filter(|_| self.token_expiration > 0);
        let changed = records.change(token.id(), fields, lasts).await?;
        changed
            .map(|changed| Ok(self.tell(Token::read(changed)?)))
            .transpose()
    }

    /// What an application is told of its token.
    fn tell(&self, token: Token) -> Fields {
        let is_endless = self.token_expiration <= 0;
        record(json!({
            "access_token": token.access_token,
            "token_type": "bearer",
            "expires_in": (!is_endless).then_some(token.expires_in),
            "refresh_token": token.refresh_token,
        }))
    }
}
