//! How `session` knows who has logged in, and notes who logs in.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE};
use keelgate_entities::kinds;
use uuid::Uuid;

use super::config::{Config, NAME, NO_DATABASE, Told};
use super::content::{Content, Due, Holder, Lifetime, Session};
use super::cookie::Cookie;
use super::storage::Storage;
use crate::authentication::admit;
use crate::body::{self, Form, Format};
use crate::error::Reason;
use crate::exchange::Credential;
use crate::registry::Node;
use crate::{
    Access, Directory, Exchange, Flow, HeaderMap, Phases, Plugin, Response, arguments, cookies,
    setting,
};

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
    /// Where who has logged in is kept; none where cookies hold it.
    storage: Option<Storage>,
    directory: Arc<Directory>,
}

/// What `access` found out.
struct Opened {
    session: Session,
    holder: Holder,
    /// Whether the client must be given it anew.
    changed: bool,
    /// Its name before it was renewed; none where it was not, or is new.
    renewed: Option<Uuid>,
    /// What the second cookie holds, and what it was called before, where the client must be given
    /// it anew.
    remembered: Option<(Session, Option<Uuid>)>,
}

/// A session of nobody: the client shall forget it.
struct Ended;

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let storage = match config.storage.as_deref() {
        Some("kong") => {
            let records = node.records.own();
            let records = records.ok_or_else(|| Reason::setting("storage", NO_DATABASE))?;
            let stale = Duration::try_from_secs_f64(config.stale_ttl.unwrap_or(0.0));
            let stale = stale.map_err(|problem| Reason::setting("stale_ttl", problem))?;
            Some(Storage::new(records, stale))
        }
        _ => None,
    };
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
        storage,
        directory: Arc::clone(directory),
    }))
}

/// Whole seconds; none for 0.
fn limit(field: &str, seconds: Option<f64>) -> Result<Option<u64>, Reason> {
    let seconds = Duration::try_from_secs_f64(seconds.unwrap_or(0.0));
    let seconds = seconds.map_err(|problem| Reason::setting(field, problem))?;
    Ok(Some(seconds.as_secs()).filter(|seconds| *seconds > 0))
}

impl Sessions {
    /// The session that the request is part of, where cookies hold all of it.
    fn open(&self, headers: &HeaderMap, now: u64) -> Option<Opened> {
        let content = self.cookie.open(headers, now);
        if let Some(opened) = content.and_then(|content| self.go_on(content, now)) {
            return Some(opened);
        }
        let remembered = self.remember.as_ref()?.open(headers, now)?;
        remember(remembered, now)
    }

    /// The same where cookies name sessions that are kept elsewhere.
    async fn look_up(&self, storage: &Storage, headers: &HeaderMap, now: u64) -> Option<Opened> {
        if let Some(mut content) = self.cookie.open(headers, now) {
            let id = content.session.id;
            content.holder = storage.find(&self.cookie.kept, id, now).await;
            if let Some(opened) = self.go_on(content, now) {
                return Some(opened);
            }
        }
        let cookie = self.remember.as_ref()?;
        let mut content = cookie.open(headers, now)?;
        content.holder = storage.find(&cookie.kept, content.session.id, now).await;
        remember(content, now)
    }

    /// The session of the request's own cookie.
    fn go_on(&self, content: Content, now: u64) -> Option<Opened> {
        let (mut session, holder) = (content.session, content.holder?);
        let due = self.cookie.lifetime.due(&session, now);
        let id = session.id;
        match due {
            Due::Nothing => (),
            Due::Touch => session.touched = now,
            Due::Renewal => session.renew(now),
        }
        Some(Opened {
            session,
            holder,
            changed: due != Due::Nothing,
            renewed: (due == Due::Renewal).then_some(id),
            remembered: None,
        })
    }

    /// Whether the request has one of the cookies.
    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let mut cookies = std::iter::once(&self.cookie).chain(&self.remember);
        cookies.any(|cookie| cookies::find(headers, &cookie.name).is_some())
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

    /// Removes what is kept of the sessions that the request's cookies name.
    fn remove(&self, headers: &HeaderMap, now: u64) {
        let Some(storage) = &self.storage else {
            return;
        };
        for cookie in std::iter::once(&self.cookie).chain(&self.remember) {
            if let Some(content) = cookie.open(headers, now) {
                storage.remove(content.session.id);
            }
        }
    }

    /// Lets the client forget all that it has.
    fn forget(&self, headers: &mut HeaderMap) {
        let cookies = std::iter::once(&self.cookie).chain(&self.remember);
        for cookie in cookies.filter_map(Cookie::forget) {
            headers.append(SET_COOKIE, cookie);
        }
    }

    /// Gives the client what has changed, and keeps what is kept elsewhere.
    fn give(&self, opened: &Opened, now: u64, to: &mut HeaderMap) {
        let Opened {
            session, holder, ..
        } = opened;
        let own = (&self.cookie, session, opened.renewed);
        let remembered = self.remember.as_ref().zip(opened.remembered.as_ref());
        let remembered = remembered.map(|(cookie, (session, before))| (cookie, session, *before));
        for (cookie, session, before) in std::iter::once(own).chain(remembered) {
            let given = match &self.storage {
                None => cookie.give(session, Some(holder), now),
                Some(storage) => {
                    // A session that was only used has the row that it had.
                    if before.is_some() || session.renewed == now {
                        let lasts = cookie.lasts(session, now);
                        storage.keep(&cookie.kept, session.id, holder, lasts, now, before);
                    }
                    cookie.give(session, None, now)
                }
            };
            if let Some(given) = given {
                to.append(SET_COOKIE, given);
            }
        }
    }

    /// Tells of a session in headers; without one, nobody else does.
    fn tell(
        &self,
        told: &[Told],
        session: Option<(&Session, &Holder)>,
        now: u64,
        headers: &mut HeaderMap,
    ) {
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
            let value = session.and_then(|(session, holder)| {
                let left = self.cookie.lifetime.left(session, now);
                match (told, at) {
                    (Told::Id, _) => HeaderValue::try_from(session.id.to_string()).ok(),
                    (Told::Audience, _) => Some(self.audience.clone()),
                    (Told::Subject, _) => HeaderValue::from_bytes(holder.subject.as_bytes()).ok(),
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

impl Sessions {
    /// Goes on as whoever has logged in, or as nobody.
    fn proceed<'r>(
        &'r self,
        exchange: &mut Exchange<'r>,
        opened: Option<Opened>,
        now: u64,
    ) -> Flow {
        let session = opened.as_ref();
        let session = session.map(|opened| (&opened.session, &opened.holder));
        if session.is_some() && self.is_logout(exchange) {
            let mut response = Response::empty(StatusCode::OK);
            self.forget(&mut response.headers);
            self.remove(&exchange.headers, now);
            return Flow::Respond(Box::new(response));
        }
        self.tell(&self.request_headers, session, now, &mut exchange.headers);
        let Some(opened) = opened else {
            return Flow::Continue;
        };
        let Holder {
            consumer,
            credential,
            ..
        } = opened.holder;
        let Some(consumer) = self.directory.consumers.get(&consumer) else {
            self.tell(&self.request_headers, None, now, &mut exchange.headers);
            self.remove(&exchange.headers, now);
            exchange.keep(NAME, Ended);
            return Flow::Continue;
        };
        let identifier = HeaderValue::try_from(credential.to_string()).ok();
        let credential = (Credential { id: credential }, identifier);
        admit(exchange, &self.directory, consumer, Some(credential));
        exchange.keep(NAME, opened);
        Flow::Continue
    }
}

/// A new session that the cookie which outlasts the browser vouches for.
fn remember(content: Content, now: u64) -> Option<Opened> {
    let (mut remembered, holder) = (content.session, content.holder?);
    let before = remembered.id;
    remembered.renew(now);
    Some(Opened {
        session: Session::new(now),
        holder,
        changed: true,
        renewed: None,
        remembered: Some((remembered, Some(before))),
    })
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
        match &self.storage {
            Some(storage) if self.has_cookie(&exchange.headers) => {
                Access::Pending(Box::pin(async move {
                    let opened = self.look_up(storage, &exchange.headers, now).await;
                    self.proceed(exchange, opened, now)
                }))
            }
            _ => {
                let opened = self.open(&exchange.headers, now);
                Access::Ready(self.proceed(exchange, opened, now))
            }
        }
    }

    fn header_filter<'r>(&'r self, exchange: &mut Exchange<'r>) {
        let now = seconds(exchange.times.received_at);
        let opened = exchange.take_back::<Opened>(NAME);
        let ended = exchange.take_back::<Ended>(NAME).is_some();
        let login = exchange.consumer.zip(exchange.credential);
        let headers = &mut exchange.response.headers;
        let opened = opened.filter(|opened| {
            login.is_none_or(|(consumer, credential)| {
                let holder = &opened.holder;
                holder.consumer == consumer.id && holder.credential == credential.id
            })
        });
        let opened = match (opened, login) {
            (Some(opened), _) => Some(opened),
            (None, Some((consumer, credential))) => {
                let subject = consumer.username.as_ref().or(consumer.custom_id.as_ref());
                let subject = subject.cloned().unwrap_or_else(|| consumer.id.to_string());
                Some(Opened {
                    session: Session::new(now),
                    holder: Holder {
                        subject,
                        consumer: consumer.id,
                        credential: credential.id,
                    },
                    changed: true,
                    renewed: None,
                    remembered: Some((Session::new(now), None)),
                })
            }
            (None, None) => None,
        };
        match &opened {
            Some(opened) => {
                if opened.changed {
                    self.give(opened, now, headers);
                }
                let session = Some((&opened.session, &opened.holder));
                self.tell(&self.response_headers, session, now, headers);
            }
            None if ended => self.forget(headers),
            None => (),
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs()
}
