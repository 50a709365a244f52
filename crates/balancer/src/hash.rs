//! What is hashed.

use std::borrow::Cow;

use keelgate_entities::kinds::{HashOn, Upstream};
use uuid::{Builder, Uuid};
use xxhash_rust::xxh3::xxh3_64;

/// What consistent hashing may ask about a request.
pub trait HashSource {
    /// Id of the consumer, otherwise of the credential.
    fn consumer(&self) -> Option<Cow<'_, str>>;
    /// Address of the client.
    fn ip(&self) -> Option<Cow<'_, str>>;
    /// First value of a header.
    fn header(&self, name: &str) -> Option<Cow<'_, str>>;
    /// Value of a cookie.
    fn cookie(&self, name: &str) -> Option<Cow<'_, str>>;
    /// Path of the request, normalised.
    fn path(&self) -> Option<Cow<'_, str>>;
    /// Value of a query argument; of several, all of them, sorted and joined by commas.
    fn query_arg(&self, name: &str) -> Option<Cow<'_, str>>;
    /// A capture of the route's path, by name or number.
    fn uri_capture(&self, name: &str) -> Option<Cow<'_, str>>;
}

/// The hash of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// For [`crate::Pick::hash`]. The same on every node and in every version.
    pub hash: u64,
    /// A cookie to give to the client, so that it comes back to the same target.
    pub cookie: Option<NewCookie>,
}

/// A cookie for a client that had none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCookie {
    /// Name.
    pub name: Box<str>,
    /// Value.
    pub value: Uuid,
    /// Path that it holds for.
    pub path: Box<str>,
}

/// One attribute of a request.
#[derive(Debug)]
enum Key {
    Consumer,
    Ip,
    Header(Box<str>),
    Cookie { name: Box<str>, path: Box<str> },
    Path,
    QueryArg(Box<str>),
    UriCapture(Box<str>),
}

/// The attribute that is hashed, and the one for requests that lack it.
#[derive(Debug)]
pub(crate) struct Keys {
    first: Option<Key>,
    fallback: Option<Key>,
}

impl Keys {
    pub(crate) fn new(upstream: &Upstream) -> Self {
        let first = Key::new(
            upstream,
            upstream.hash_on,
            [
                &upstream.hash_on_header,
                &upstream.hash_on_query_arg,
                &upstream.hash_on_uri_capture,
            ],
        );
        let fallback = Key::new(
            upstream,
            upstream.hash_fallback,
            [
                &upstream.hash_fallback_header,
                &upstream.hash_fallback_query_arg,
                &upstream.hash_fallback_uri_capture,
            ],
        );
        Self { first, fallback }
    }

    /// `None` when the request has none of the attributes. `random` makes the cookie.
    pub(crate) fn hash(&self, source: &dyn HashSource, random: u128) -> Option<Hashed> {
        // Without a first attribute there is nothing to fall back from.
        let first = self.first.as_ref()?;
        let hashed = first.hash(source, random);
        hashed.or_else(|| self.fallback.as_ref()?.hash(source, random))
    }
}

impl Key {
    fn new(upstream: &Upstream, on: HashOn, names: [&Option<String>; 3]) -> Option<Self> {
        let [header, query_arg, uri_capture] = names;
        let named = |name: &Option<String>| name.as_deref().map(Box::from);
        Some(match on {
            HashOn::None => return None,
            HashOn::Consumer => Self::Consumer,
            HashOn::Ip => Self::Ip,
            HashOn::Header => Self::Header(header.as_ref()?.to_ascii_lowercase().into()),
            HashOn::Cookie => Self::Cookie {
                name: named(&upstream.hash_on_cookie)?,
                path: named(&upstream.hash_on_cookie_path).unwrap_or_else(|| "/".into()),
            },
            HashOn::Path => Self::Path,
            HashOn::QueryArg => Self::QueryArg(named(query_arg)?),
            HashOn::UriCapture => Self::UriCapture(named(uri_capture)?),
        })
    }

    fn hash(&self, source: &dyn HashSource, random: u128) -> Option<Hashed> {
        let text = match self {
            Self::Consumer => source.consumer(),
            Self::Ip => source.ip(),
            Self::Header(name) => source.header(name),
            Self::Cookie { name, .. } => source.cookie(name),
            Self::Path => source.path(),
            Self::QueryArg(name) => source.query_arg(name),
            Self::UriCapture(name) => source.uri_capture(name),
        };
        if let Some(text) = text {
            return Some(Hashed {
                hash: xxh3_64(text.as_bytes()),
                cookie: None,
            });
        }
        let Self::Cookie { name, path } = self else {
            return None;
        };
        let value = Builder::from_random_bytes(random.to_le_bytes()).into_uuid();
        let mut buffer = Uuid::encode_buffer();
        Some(Hashed {
            hash: xxh3_64(value.hyphenated().encode_lower(&mut buffer).as_bytes()),
            cookie: Some(NewCookie {
                name: name.clone(),
                value,
                path: path.clone(),
            }),
        })
    }
}
