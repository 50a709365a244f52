//! Compiled changes of headers and queries.

use std::borrow::Cow;

use http::header::{HOST, HeaderName, HeaderValue};

use super::config::{Change, Config};
use super::template::{Facts, Template};
use crate::arguments::Arguments;
use crate::error::Reason;
use crate::{Exchange, setting};

/// The templates of a configuration that must be filled in for every request. They are all filled
/// in before anything is changed, so that none sees what another has set.
#[derive(Debug, Default)]
pub(crate) struct Templates(Vec<Template>);

/// The values of [`Templates`] for one request.
#[derive(Debug)]
pub(crate) struct Rendered(Vec<Vec<u8>>);

impl Templates {
    pub(crate) fn render(&self, exchange: &Exchange<'_>) -> Rendered {
        let facts = Facts::of(exchange);
        Rendered(
            self.0
                .iter()
                .map(|template| template.render(facts))
                .collect(),
        )
    }

    /// Takes a value in; `fixed` makes one that is the same for every request.
    pub(crate) fn add<F>(
        &mut self,
        field: &str,
        text: &str,
        fixed: impl FnOnce(&str) -> Result<F, Reason>,
    ) -> Result<Text<F>, Reason> {
        let template = Template::parse(text).map_err(|error| {
            Reason::setting(
                field,
                format!("value '{text}' is not in supported format: {error}"),
            )
        })?;
        match template.fixed() {
            Some(text) => fixed(text).map(Text::Fixed),
            None => {
                self.0.push(template);
                Ok(Text::Rendered(self.0.len() - 1))
            }
        }
    }
}

/// A value: the same for every request, or one of [`Rendered`].
#[derive(Debug)]
pub(crate) enum Text<F> {
    Fixed(F),
    Rendered(usize),
}

/// A value of an argument or of a field of the body.
pub(crate) type Plain = Text<Vec<u8>>;

impl Plain {
    pub(crate) fn bytes<'v>(&'v self, rendered: &'v Rendered) -> &'v [u8] {
        match self {
            Self::Fixed(text) => text,
            Self::Rendered(at) => &rendered.0[*at],
        }
    }
}

impl Text<HeaderValue> {
    /// `None` when a request fills in what a header cannot hold, which leaves the header as it is.
    fn header(&self, rendered: &Rendered) -> Option<HeaderValue> {
        match self {
            Self::Fixed(value) => Some(value.clone()),
            Self::Rendered(at) => HeaderValue::from_bytes(&rendered.0[*at]).ok(),
        }
    }
}

/// Changes of headers, made in the order of the members.
#[derive(Debug)]
pub(crate) struct HeaderChanges {
    remove: Vec<HeaderName>,
    rename: Vec<(HeaderName, HeaderName)>,
    replace: Vec<(HeaderName, Text<HeaderValue>)>,
    add: Vec<(HeaderName, Text<HeaderValue>)>,
    append: Vec<(HeaderName, Text<HeaderValue>)>,
}

impl HeaderChanges {
    pub(crate) fn new(config: &Config, templates: &mut Templates) -> Result<Self, Reason> {
        let mut values = |field: &str, change: &Change| {
            let entries = change.headers.iter().map(|entry| setting::pair(entry));
            entries
                .filter_map(|(name, value)| Some((name, value?)))
                .map(|(name, value)| {
                    let fixed = |text: &str| setting::header_value(field, text);
                    Ok((
                        setting::header_name(field, name)?,
                        templates.add(field, value, fixed)?,
                    ))
                })
                .collect::<Result<Vec<_>, Reason>>()
        };
        let remove = config.remove.headers.iter();
        let rename = config.rename.headers.iter();
        Ok(Self {
            replace: values("replace.headers", &config.replace)?,
            add: values("add.headers", &config.add)?,
            append: values("append.headers", &config.append)?,
            remove: remove
                .map(|entry| setting::header_name("remove.headers", setting::pair(entry).0))
                .collect::<Result<_, _>>()?,
            rename: rename
                .filter_map(|entry| match setting::pair(entry) {
                    (old, Some(new)) => Some((old, new)),
                    (_, None) => None,
                })
                .map(|(old, new)| {
                    let name = |name| setting::header_name("rename.headers", name);
                    Ok((name(old)?, name(new)?))
                })
                .collect::<Result<_, Reason>>()?,
        })
    }

    /// Whether a header may get a value that the client did not give it.
    pub(crate) fn may_set(&self, header: &HeaderName) -> bool {
        let set = [&self.replace, &self.add, &self.append];
        self.rename.iter().any(|(_, new)| new == header)
            || set.into_iter().flatten().any(|(name, _)| name == header)
    }

    pub(crate) fn apply(&self, exchange: &mut Exchange<'_>, rendered: &Rendered) {
        let headers = &mut exchange.headers;
        for name in &self.remove {
            if name != HOST {
                headers.remove(name);
            }
        }
        for (old, new) in &self.rename {
            if old == new || *old == HOST || !headers.contains_key(old) {
                continue;
            }
            let values: Vec<_> = headers.get_all(old).iter().cloned().collect();
            headers.remove(old);
            headers.remove(new);
            for value in values {
                headers.append(new, value);
            }
        }
        for (name, value) in &self.replace {
            let Some(value) = value.header(rendered) else {
                continue;
            };
            if *name == HOST {
                set_host(&mut exchange.upstream.host_header, &value);
            } else if headers.contains_key(name) {
                headers.insert(name, value);
            }
        }
        for (name, value) in &self.add {
            if *name != HOST
                && !headers.contains_key(name)
                && let Some(value) = value.header(rendered)
            {
                headers.insert(name, value);
            }
        }
        for (name, value) in &self.append {
            let Some(value) = value.header(rendered) else {
                continue;
            };
            if *name == HOST {
                // A request has one host; there is nothing to add to.
                set_host(&mut exchange.upstream.host_header, &value);
            } else {
                headers.append(name, value);
            }
        }
    }
}

fn set_host(host: &mut Option<String>, value: &HeaderValue) {
    if let Ok(value) = value.to_str() {
        *host = Some(value.to_owned());
    }
}

/// Changes of named values, made in the order of the members.
#[derive(Debug)]
pub(crate) struct FieldChanges {
    pub(crate) remove: Vec<String>,
    pub(crate) rename: Vec<(String, String)>,
    pub(crate) replace: Vec<(String, Plain)>,
    pub(crate) add: Vec<(String, Plain)>,
    pub(crate) append: Vec<(String, Plain)>,
}

impl FieldChanges {
    /// `part` is `body` or `querystring`, `entries` takes it from a change.
    pub(crate) fn new(
        config: &Config,
        part: &str,
        entries: fn(&Change) -> &[String],
        templates: &mut Templates,
    ) -> Result<Self, Reason> {
        let mut values = |kind: &str, change: &Change| {
            let pairs = entries(change).iter().map(|entry| setting::pair(entry));
            pairs
                .filter_map(|(name, value)| Some((name, value?)))
                .map(|(name, value)| {
                    let fixed = |text: &str| Ok(text.as_bytes().to_vec());
                    let value = templates.add(&format!("{kind}.{part}"), value, fixed)?;
                    Ok((name.to_owned(), value))
                })
                .collect::<Result<Vec<_>, Reason>>()
        };
        let remove = entries(&config.remove).iter();
        let rename = entries(&config.rename).iter();
        Ok(Self {
            replace: values("replace", &config.replace)?,
            add: values("add", &config.add)?,
            append: values("append", &config.append)?,
            remove: remove
                .map(|entry| setting::pair(entry).0.to_owned())
                .collect(),
            rename: rename
                .filter_map(|entry| match setting::pair(entry) {
                    (old, Some(new)) => Some((old.to_owned(), new.to_owned())),
                    (_, None) => None,
                })
                .collect(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && self.replace.is_empty()
            && self.add.is_empty()
            && self.append.is_empty()
    }

    /// Changes arguments. The result tells whether a body of them is to be written anew.
    pub(crate) fn apply<'v>(
        &'v self,
        arguments: &mut Arguments<'v>,
        rendered: &'v Rendered,
    ) -> bool {
        let mut changed = !self.remove.is_empty();
        for name in &self.remove {
            arguments.remove(name.as_bytes());
        }
        for (old, new) in &self.rename {
            changed |= arguments.rename(old.as_bytes(), new.as_bytes());
        }
        for (name, value) in &self.replace {
            changed |= arguments.replace(name.as_bytes(), Some(value.cow(rendered)));
        }
        for (name, value) in &self.add {
            if !arguments.contains(name.as_bytes()) {
                arguments.push(name.as_bytes(), Some(value.cow(rendered)));
                changed = true;
            }
        }
        for (name, value) in &self.append {
            arguments.append(name.as_bytes(), value.cow(rendered));
            changed = true;
        }
        changed
    }
}

impl Plain {
    fn cow<'v>(&'v self, rendered: &'v Rendered) -> Cow<'v, [u8]> {
        Cow::Borrowed(self.bytes(rendered))
    }
}
