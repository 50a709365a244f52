//! How `session` knows who has logged in, and notes who logs in.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE};
use keelgate_entities::kinds;

use super::config::{self, Config, NAME, SameSite, Told};
use super::content::{Due, Lifetime, Session};
use super::cookie::Seal;
use crate::authentication::admit;
use crate::body::{self, Form, Format};
use crate::error::Reason;
use crate::exchange::Credential;
use crate::registry::Node;
use crate::{
    Access, Directory, Exchange, Flow, HeaderMap, Phases, Plugin, Response, arguments, cookies,
    setting,
};

/// What makes a client forget a cookie.
const FORGET: &str = "; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0";

/// Methods of requests whose bodies are read.
const WITH_BODY: [&str; 4] = ["DELETE", "PATCH", "POST", "PUT"];

/// A compiled `session`.
pub(crate) struct Sessions {
    audience: HeaderValue,
    cookie: Cookie,
    /// The one that outlasts the browser.
    remember: Option<Cookie>,
    response_headers: Vec<Told>,
    request_headers: Vec<Told>,
    read_body: bool,
    logout_methods: Vec<String>,
    logout_query_arg: Option<String>,
    logout_post_arg: Option<String>,
    directory: Arc<Directory>,
}

struct Cookie {
    name: String,
    /// What follows the value.
    attributes: String,
    seal: Seal,
    lifetime: Lifetime,
    outlasts_browser: bool,
}

/// What `access` found out.
struct Opened {
    session: Session,
    /// Whether the client must be given it anew.
    changed: bool,
    /// The second cookie, where the client must be given it anew.
    remembered: Option<Session>,
}

/// A session of nobody: the client shall forget it.
struct Ended;

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    if let Some(storage) = &config.storage {
        config::check_storage(storage).map_err(|problem| Reason::setting("storage", problem))?;
    }
    let remember = config
        .remember
        .then(|| {
            let lifetime = Lifetime {
                idling: None,
                rolling: limit("remember_rolling_timeout", config.remember_rolling_timeout)?,
                absolute: limit(
                    "remember_absolute_timeout",
                    config.remember_absolute_timeout,
                )?,
            };
            Cookie::new(&config, "remember_cookie_name", lifetime)
        })
        .transpose()?;
    let lifetime = Lifetime {
        idling: limit("idling_timeout", config.idling_timeout)?,
        rolling: limit("rolling_timeout", config.rolling_timeout)?,
        absolute: limit("absolute_timeout", config.absolute_timeout)?,
    };
    Ok(Arc::new(Sessions {
        audience: setting::header_value("audience", &config.audience)?,
        cookie: Cookie::new(&config, "cookie_name", lifetime)?,
        remember,
        response_headers: config.response_headers,
        request_headers: config.request_headers,
        read_body: config.read_body_for_logout,
        logout_methods: config.logout_methods,
        logout_query_arg: config.logout_query_arg,
        logout_post_arg: config.logout_post_arg,
        directory: Arc::clone(directory),
    }))
}

/// Whole seconds; none for 0.
fn limit(field: &str, seconds: Option<f64>) -> Result<Option<u64>, Reason> {
    let seconds = Duration::try_from_secs_f64(seconds.unwrap_or(0.0));
    let seconds = seconds.map_err(|problem| Reason::setting(field, problem))?;
    Ok(Some(seconds.as_secs()).filter(|seconds| *seconds > 0))
}

impl Cookie {
    fn new(config: &Config, field: &str, lifetime: Lifetime) -> Result<Self, Reason> {
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
            name: name.to_owned(),
            attributes,
            lifetime,
            outlasts_browser,
        })
    }

    /// The session that the request's cookie holds, unless it is over.
    fn open(&self, headers: &HeaderMap, now: u64) -> Option<Session> {
        let value = cookies::find(headers, &self.name)?;
        let content = self.seal.open(value.trim_ascii())?;
        let session: Session = serde_json::from_slice(&content).ok()?;
        (!self.lifetime.is_over(&session, now)).then_some(session)
    }

    /// What gives the client a session; nothing if it cannot be sealed.
    fn give(&self, session: &Session, now: u64) -> Option<HeaderValue> {
        let content = serde_json::to_vec(session).ok()?;
        let Some(value) = self.seal.seal(&content) else {
            tracing::error!("a session cannot be sealed: the system gives no random bytes");
            return None;
        };
        let (name, attributes) = (&self.name, &self.attributes);
        let mut cookie = format!("{name}={value}{attributes}");
        let [_, rolling, absolute] = self.lifetime.left(session, now);
        let left = rolling.into_iter().chain(absolute).min();
        if let (true, Some(left)) = (self.outlasts_browser, left) {
            let expires = UNIX_EPOCH.checked_add(Duration::from_secs(now.saturating_add(left)));
            let expires = httpdate::fmt_http_date(expires.filter(in_this_era)?);
            cookie.push_str(&format!("; Expires={expires}; Max-Age={left}"));
        }
        HeaderValue::try_from(cookie).ok()
    }

    fn forget(&self) -> Option<HeaderValue> {
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

impl Sessions {
    /// The session that the request is part of: its own cookie's, or a new one that the cookie
    /// which outlasts the browser vouches for.
    fn open(&self, headers: &HeaderMap, now: u64) -> Option<Opened> {
        if let Some(mut session) = self.cookie.open(headers, now) {
            let due = self.cookie.lifetime.due(&session, now);
            match due {
                Due::Nothing => (),
                Due::Touch => session.touched = now,
                Due::Renewal => session.renew(now),
            }
            return Some(Opened {
                session,
                changed: due != Due::Nothing,
                remembered: None,
            });
        }
        let remembered = self.remember.as_ref()?.open(headers, now)?;
        let mut renewed = remembered.clone();
        renewed.renew(now);
        let (consumer, credential) = (remembered.consumer, remembered.credential);
        Some(Opened {
            session: Session::new(remembered.subject, consumer, credential, now),
            changed: true,
            remembered: Some(renewed),
        })
    }

    /// Whether the request asks for the end of its session.
    fn is_logout(&self, exchange: &Exchange<'_>) -> bool {
        let method = exchange.method.as_str();
        if !self.logout_methods.iter().any(|known| known == method) {
            return false;
        }
        let query = exchange.query.as_deref().unwrap_or_default();
        let in_query = self.logout_query_arg.as_deref().is_some_and(|name| {
            let mut found = arguments::find(query.as_bytes(), name.as_bytes());
            found.next().is_some()
        });
        in_query || self.is_logout_by_body(exchange)
    }

    fn is_logout_by_body(&self, exchange: &Exchange<'_>) -> bool {
        let (true, Some(name)) = (self.read_body, self.logout_post_arg.as_deref()) else {
            return false;
        };
        match body::form(exchange) {
            Some(Form::Json(fields)) => {
                let value = fields.get(name);
                value.is_some_and(|value| *value != serde_json::Value::Bool(false))
            }
            Some(Form::Multipart(parts)) => parts.contains(name),
            Some(Form::Arguments(arguments)) => arguments.contains(name.as_bytes()),
            None => false,
        }
    }

    /// Lets the client forget all that it has.
    fn forget(&self, headers: &mut HeaderMap) {
        let cookies = std::iter::once(&self.cookie).chain(&self.remember);
        for cookie in cookies.filter_map(Cookie::forget) {
            headers.append(SET_COOKIE, cookie);
        }
    }

    fn give(&self, session: &Session, remembered: Option<&Session>, now: u64, to: &mut HeaderMap) {
        if let Some(cookie) = self.cookie.give(session, now) {
            to.append(SET_COOKIE, cookie);
        }
        if let (Some(cookie), Some(remembered)) = (&self.remember, remembered)
            && let Some(cookie) = cookie.give(remembered, now)
        {
            to.append(SET_COOKIE, cookie);
        }
    }

    /// Tells of a session in headers; without one, nobody else does.
    fn tell(&self, told: &[Told], session: Option<&Session>, now: u64, headers: &mut HeaderMap) {
        for told in told {
            let (name, at) = match told {
                Told::Id => ("session-id", None),
                Told::Audience => ("session-audience", None),
                Told::Subject => ("session-subject", None),
                Told::Timeout => ("session-timeout", None),
                Told::IdlingTimeout => ("session-idling-timeout", Some(0)),
                Told::RollingTimeout => ("session-rolling-timeout", Some(1)),
                Told::AbsoluteTimeout => ("session-absolute-timeout", Some(2)),
            };
            let name = HeaderName::from_static(name);
            let value = session.and_then(|session| {
                let left = self.cookie.lifetime.left(session, now);
                match (told, at) {
                    (Told::Id, _) => HeaderValue::try_from(session.id.to_string()).ok(),
                    (Told::Audience, _) => Some(self.audience.clone()),
                    (Told::Subject, _) => HeaderValue::from_bytes(session.subject.as_bytes()).ok(),
                    (_, Some(at)) => left[at].map(HeaderValue::from),
                    (_, None) => left.into_iter().flatten().min().map(HeaderValue::from),
                }
            });
            match value {
                Some(value) => {
                    headers.insert(name, value);
                }
                None => {
                    headers.remove(name);
                }
            }
        }
    }
}

impl Plugin for Sessions {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            header_filter: true,
            request_body: self.read_body,
            ..Phases::default()
        }
    }

    fn wants_request_body(&self, exchange: &Exchange<'_>) -> bool {
        let method = exchange.method.as_str();
        WITH_BODY.contains(&method)
            && self.logout_methods.iter().any(|known| known == method)
            && cookies::find(&exchange.headers, &self.cookie.name).is_some()
            && Format::of(exchange.headers.get(CONTENT_TYPE)).is_some()
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let now = seconds(exchange.times.received_at);
        let opened = self.open(&exchange.headers, now);
        let session = opened.as_ref().map(|opened| &opened.session);
        if session.is_some() && self.is_logout(exchange) {
            let mut response = Response::empty(StatusCode::OK);
            self.forget(&mut response.headers);
            return Access::Ready(Flow::Respond(Box::new(response)));
        }
        self.tell(&self.request_headers, session, now, &mut exchange.headers);
        let Some(opened) = opened else {
            return Access::Ready(Flow::Continue);
        };
        let Session {
            consumer,
            credential,
            ..
        } = opened.session;
        let Some(consumer) = self.directory.consumers.get(&consumer) else {
            self.tell(&self.request_headers, None, now, &mut exchange.headers);
            exchange.keep(NAME, Ended);
            return Access::Ready(Flow::Continue);
        };
        let identifier = HeaderValue::try_from(credential.to_string()).ok();
        let credential = (Credential { id: credential }, identifier);
        admit(exchange, &self.directory, consumer, Some(credential));
        exchange.keep(NAME, opened);
        Access::Ready(Flow::Continue)
    }

    fn header_filter<'r>(&'r self, exchange: &mut Exchange<'r>) {
        let now = seconds(exchange.times.received_at);
        let opened = exchange.take_back::<Opened>(NAME);
        let ended = exchange.take_back::<Ended>(NAME).is_some();
        let login = exchange.consumer.zip(exchange.credential);
        let headers = &mut exchange.response.headers;
        let opened = opened.filter(|opened| {
            login.is_none_or(|(consumer, credential)| {
                let session = &opened.session;
                session.consumer == consumer.id && session.credential == credential.id
            })
        });
        let session = match (opened, login) {
            (Some(opened), _) => {
                if opened.changed {
                    self.give(&opened.session, opened.remembered.as_ref(), now, headers);
                }
                Some(opened.session)
            }
            (None, Some((consumer, credential))) => {
                let subject = consumer.username.as_ref().or(consumer.custom_id.as_ref());
                let subject = subject.cloned().unwrap_or_else(|| consumer.id.to_string());
                let session = Session::new(subject, consumer.id, credential.id, now);
                self.give(&session, Some(&session), now, headers);
                Some(session)
            }
            (None, None) => {
                if ended {
                    self.forget(headers);
                }
                None
            }
        };
        if session.is_some() {
            self.tell(&self.response_headers, session.as_ref(), now, headers);
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs()
}
