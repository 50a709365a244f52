//! Consumers, each with a credential of every kind, and the headers that prove one.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Consumers who are seen in one measurement, spread over all of them: enough that the processor's
/// caches do not hold what is looked up, few enough that their requests fit into memory.
const SEEN: usize = 20_000;

/// A token that an application has been given.
pub(super) const APPLICATION_TOKEN: &str = "a0b1c2d3e4f5a0b1c2d3e4f5a0b1c2d3";

/// The id of the application's credential.
const APPLICATION: &str = "f37a4a2c-5f1a-4c8d-9a4b-6d3e0c1b2a39";

/// The secret of `standard-webhooks`.
pub(super) const WEBHOOK_SECRET: &str = "a secret of thirty-two characters";

/// Everybody who may call.
pub(super) struct Credentials {
    count: usize,
    now: SystemTime,
}

/// A header of a request.
pub(super) type Header = (&'static str, String);

impl Credentials {
    pub(super) fn make(count: usize) -> Self {
        Self {
            count,
            now: SystemTime::now(),
        }
    }

    /// In declarative form.
    pub(super) fn consumers(&self) -> Vec<Value> {
        let application = json!({
            "username": "application",
            "oauth2_credentials": [{
                "id": APPLICATION, "name": "application", "client_id": "application",
                "client_secret": "application",
            }],
        });
        let others = [application, json!({"username": self.anonymous()})];
        let callers = (0..self.count).map(|index| {
            let name = name(index);
            json!({
                "username": name,
                "keyauth_credentials": [{"key": name}],
                "basicauth_credentials": [{"username": name, "password": name}],
                "jwt_secrets": [{"key": name, "secret": name}],
                "hmacauth_credentials": [{"username": name, "secret": name}],
                "acls": [{"group": "all"}],
            })
        });
        callers.chain(others).collect()
    }

    /// Tokens of applications, in declarative form.
    pub(super) fn tokens(&self) -> Vec<Value> {
        vec![json!({
            "access_token": APPLICATION_TOKEN, "token_type": "bearer", "expires_in": 0,
            "credential": {"id": APPLICATION},
        })]
    }

    /// The name of who comes without a credential.
    pub(super) fn anonymous(&self) -> &'static str {
        "nobody"
    }

    /// Whose requests are sent: the first one alone, or many in no order.
    pub(super) fn callers(&self, many: bool) -> Vec<usize> {
        let step = (self.count / SEEN).max(1);
        let mut all: Vec<usize> = (0..self.count).step_by(step).collect();
        fastrand::shuffle(&mut all);
        if !many {
            all.truncate(1);
        }
        all
    }

    pub(super) fn key(&self, caller: usize) -> Vec<Header> {
        vec![("apikey", name(caller))]
    }

    pub(super) fn basic(&self, caller: usize) -> Vec<Header> {
        let name = name(caller);
        let proof = BASE64_STANDARD.encode(format!("{name}:{name}"));
        vec![("authorization", format!("Basic {proof}"))]
    }

    /// A token that is signed with HS256.
    pub(super) fn token(&self, caller: usize) -> Vec<Header> {
        let name = name(caller);
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(json!({"alg": "HS256", "typ": "JWT"}));
        let claims = part(json!({"iss": name, "exp": self.seconds() + 86_400}));
        let signed = format!("{head}.{claims}");
        let proof = BASE64_URL_SAFE_NO_PAD.encode(sign(&name, &signed));
        vec![("authorization", format!("Bearer {signed}.{proof}"))]
    }

    /// A signature over the date and the target.
    pub(super) fn signature(&self, caller: usize, target: &str) -> Vec<Header> {
        let name = name(caller);
        let date = httpdate::fmt_http_date(self.now);
        let signed = format!("date: {date}\n@request-target: get {target}");
        let proof = BASE64_STANDARD.encode(sign(&name, &signed));
        let authorization = format!(
            "hmac username=\"{name}\", algorithm=\"hmac-sha256\", headers=\"date @request-target\", \
             signature=\"{proof}\""
        );
        vec![("date", date), ("authorization", authorization)]
    }

    /// What proves a webhook with this body.
    pub(super) fn webhook(&self, body: &str) -> Vec<Header> {
        let at = self.seconds().to_string();
        let proof = BASE64_STANDARD.encode(sign(WEBHOOK_SECRET, &format!("id.{at}.{body}")));
        vec![
            ("webhook-id", "id".to_owned()),
            ("webhook-timestamp", at),
            ("webhook-signature", format!("v1,{proof}")),
        ]
    }

    fn seconds(&self) -> u64 {
        let since = self.now.duration_since(UNIX_EPOCH);
        since.unwrap_or_default().as_secs()
    }
}

/// The name of a consumer, and all secrets that it has.
fn name(index: usize) -> String {
    format!("consumer-{index}")
}

fn sign(secret: &str, text: &str) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::sign(&key, text.as_bytes())
}
