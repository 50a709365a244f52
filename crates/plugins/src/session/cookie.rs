//! Cookies that clients are given: their attributes, what they hold, and for how long.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::HeaderValue;

use super::config::{Config, SameSite};
use super::content::{Content, Holder, Lifetime, Session};
use super::seal::Seal;
use crate::error::Reason;
use crate::{HeaderMap, cookies, setting};

/// What makes a client forget a cookie.
const FORGET: &str = "; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0";

/// One of the cookies that a configuration gives to clients.
pub(super) struct Cookie {
    pub(super) name: String,
    /// What follows the value.
    attributes: String,
    seal: Seal,
    /// For what is kept elsewhere.
    pub(super) kept: Seal,
    pub(super) lifetime: Lifetime,
    outlasts_browser: bool,
}

impl Cookie {
    pub(super) fn new(config: &Config, field: &str, lifetime: Lifetime) -> Result<Self, Reason> {
        let outlasts_browser = field == "remember_cookie_name";
        let name = match outlasts_browser {
            true => config.remember_cookie_name.as_deref().unwrap_or("remember"),
            false => config.cookie_name.as_deref().unwrap_or("session"),
        };
        // The characters of names of cookies are those of names of headers.
        setting::header_name(field, name)?;
        let secret = config.secret.as_deref().unwrap_or_default();
        if secret.is_empty() {
            return Err(Reason::setting("secret", "required, and not empty"));
        }
        let attributes = attributes(config);
        setting::header_value("cookie_path", &attributes)?;
        Ok(Self {
            seal: Seal::new(secret.as_bytes(), name, &config.audience),
            // No cookie has a space in its name.
            kept: Seal::new(secret.as_bytes(), &format!("{name} kept"), &config.audience),
            name: name.to_owned(),
            attributes,
            lifetime,
            outlasts_browser,
        })
    }

    /// The session that the request's cookie holds, unless it is over.
    pub(super) fn open(&self, headers: &HeaderMap, now: u64) -> Option<Content> {
        let value = cookies::find(headers, &self.name)?;
        let content = self.seal.open(value.trim_ascii())?;
        let content: Content = serde_json::from_slice(&content).ok()?;
        (!self.lifetime.is_over(&content.session, now)).then_some(content)
    }

    /// Seconds that a session lasts at most without being renewed.
    pub(super) fn lasts(&self, session: &Session, now: u64) -> Option<u64> {
        let [_, rolling, absolute] = self.lifetime.left(session, now);
        rolling.into_iter().chain(absolute).min()
    }

    /// What gives the client a session; nothing if it cannot be sealed.
    pub(super) fn give(
        &self,
        session: &Session,
        holder: Option<&Holder>,
        now: u64,
    ) -> Option<HeaderValue> {
        let content = Content {
            session: *session,
            holder: holder.cloned(),
        };
        let content = serde_json::to_vec(&content).ok()?;
        let Some(value) = self.seal.seal(&content) else {
            tracing::error!("a session cannot be sealed: the system gives no random bytes");
            return None;
        };
        let (name, attributes) = (&self.name, &self.attributes);
        let mut cookie = format!("{name}={value}{attributes}");
        if let (true, Some(left)) = (self.outlasts_browser, self.lasts(session, now)) {
            let expires = UNIX_EPOCH.checked_add(Duration::from_secs(now.saturating_add(left)));
            let expires = httpdate::fmt_http_date(expires.filter(in_this_era)?);
            cookie.push_str(&format!("; Expires={expires}; Max-Age={left}"));
        }
        HeaderValue::try_from(cookie).ok()
    }

    pub(super) fn forget(&self) -> Option<HeaderValue> {
        let (name, attributes) = (&self.name, &self.attributes);
        HeaderValue::try_from(format!("{name}={attributes}{FORGET}")).ok()
    }
}

/// Whether a time can be written as HTTP does: until the year 9999.
fn in_this_era(time: &SystemTime) -> bool {
    const END: u64 = 253_402_300_800;
    time.duration_since(UNIX_EPOCH)
        .is_ok_and(|since| since.as_secs() < END)
}

fn attributes(config: &Config) -> String {
    let mut attributes = String::new();
    let domain = config.cookie_domain.as_deref().unwrap_or_default();
    if !matches!(domain, "" | "localhost") {
        attributes.push_str(&format!("; Domain={domain}"));
    }
    let path = config.cookie_path.as_deref().unwrap_or("/");
    attributes.push_str(&format!("; Path={path}"));
    let same_site = config.cookie_same_site.unwrap_or(SameSite::Strict);
    if same_site != SameSite::Default {
        attributes.push_str(&format!("; SameSite={same_site:?}"));
    }
    // Browsers take `SameSite=None` over TLS only.
    if config.cookie_secure.unwrap_or(true) || same_site == SameSite::None {
        attributes.push_str("; Secure");
    }
    if config.cookie_http_only.unwrap_or(true) {
        attributes.push_str("; HttpOnly");
    }
    attributes
}
