//! What a configuration wants to be read from requests, and told to upstreams.

use keelgate_entities::schema::{Field, ITEM, typedefs};
use serde::Deserialize;
use smallvec::SmallVec;

use super::context::{Context, ToldId};
use super::extract::extract;
use super::format::{Format, NAMES};
use super::inject::inject;
use crate::Exchange;

/// Under this name an exchange keeps [`TraceIds`].
pub(crate) const KEPT: &str = "tracing";

/// The ids of the trace of a request, as upstreams were told them, by format.
#[derive(Debug, Default)]
pub(crate) struct TraceIds(pub(crate) SmallVec<[(&'static str, ToldId); 2]>);

/// The setting `propagation`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    extract: Option<Vec<Format>>,
    clear: Option<Vec<String>>,
    inject: Option<Vec<Word>>,
    default_format: Option<Format>,
}

/// A format to tell upstreams, or the one that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Word {
    Format(Format),
    Preserve(Preserve),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Preserve {
    Preserve,
}

/// The setting `header_type`, which older configurations have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum HeaderType {
    /// What came, and this.
    Format(Format),
    /// What came, or nothing of it.
    Word(HeaderWord),
}

/// What came, or nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HeaderWord {
    Preserve,
    Ignore,
}

/// What `header_type` is where a configuration leaves it out.
pub(crate) fn preserve() -> Option<HeaderType> {
    Some(HeaderType::Word(HeaderWord::Preserve))
}

/// The order in which older configurations look for headers.
const OLD_ORDER: [Format; 7] = [
    Format::B3,
    Format::W3c,
    Format::Jaeger,
    Format::Ot,
    Format::Datadog,
    Format::Aws,
    Format::Gcp,
];

/// The setting.
pub(crate) fn setting(default_format: &'static str) -> Field {
    let preserve = ["preserve"].into_iter().chain(NAMES);
    Field::record(
        "propagation",
        [
            Field::array(
                "extract",
                Field::string(ITEM).one_of(NAMES.into_iter().filter(|name| *name != "b3-single")),
            )
            .description("Formats of headers that are looked for, in this order; the first that is found counts."),
            Field::array("clear", typedefs::header_name(ITEM))
                .description("Headers that upstreams do not get."),
            Field::array("inject", Field::string(ITEM).one_of(preserve))
                .description("Formats of headers that upstreams get; `preserve` is the one that was found."),
            Field::string("default_format")
                .required()
                .one_of(NAMES)
                .description("The format for `preserve` where none was found."),
        ],
    )
    .default(serde_json::json!({ "default_format": default_format }))
}

/// What is read from requests, and told to upstreams.
#[derive(Clone, Debug)]
pub(crate) struct Propagation {
    extract: Vec<Format>,
    clear: Vec<String>,
    inject: Vec<Word>,
    default_format: Format,
}

impl Propagation {
    /// What the settings say; the older ones count where no newer one says more than the format
    /// that is told by default.
    pub(crate) fn new(
        settings: Settings,
        header_type: Option<HeaderType>,
        default_header_type: Option<Format>,
        otherwise: Format,
    ) -> Self {
        let default_format = settings.default_format.unwrap_or(otherwise);
        let is_new =
            settings.extract.is_some() || settings.clear.is_some() || settings.inject.is_some();
        if is_new {
            return Self {
                extract: settings.extract.unwrap_or_default(),
                clear: settings.clear.unwrap_or_default(),
                inject: settings.inject.unwrap_or_default(),
                default_format,
            };
        }
        let default_format = default_header_type.unwrap_or(default_format);
        let preserve = Word::Preserve(Preserve::Preserve);
        let (extract, inject) = match header_type {
            Some(HeaderType::Word(HeaderWord::Preserve)) => (OLD_ORDER.to_vec(), vec![preserve]),
            Some(HeaderType::Word(HeaderWord::Ignore)) => {
                (Vec::new(), vec![Word::Format(default_format)])
            }
            Some(HeaderType::Format(format)) => {
                (OLD_ORDER.to_vec(), vec![preserve, Word::Format(format)])
            }
            None => (Vec::new(), Vec::new()),
        };
        Self {
            extract,
            clear: Vec::new(),
            inject,
            default_format,
        }
    }

    /// What a request brings, and in which format.
    pub(crate) fn extract(&self, exchange: &Exchange<'_>) -> (Context, Option<Format>) {
        let mut formats = self.extract.iter();
        let found =
            formats.find_map(|format| Some((extract(*format, &exchange.headers)?, Some(*format))));
        found.unwrap_or_default()
    }

    /// Tells the upstream its place in the trace. `found` is the format that the request came with.
    pub(crate) fn inject(
        &self,
        exchange: &mut Exchange<'_>,
        context: &Context,
        found: Option<Format>,
    ) {
        for name in &self.clear {
            exchange.headers.remove(name.as_str());
        }
        let mut told = TraceIds::default();
        for word in &self.inject {
            let format = match word {
                Word::Format(format) => *format,
                Word::Preserve(_) => match found.unwrap_or(self.default_format) {
                    Format::B3 if context.single => Format::B3Single,
                    format => format,
                },
            };
            if let Some(id) = inject(format, context, &mut exchange.headers) {
                told.0.push((format.family(), id));
            }
        }
        if !told.0.is_empty() {
            exchange.keep(KEPT, told);
        }
    }
}
