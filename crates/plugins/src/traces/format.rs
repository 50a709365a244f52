//! The formats that tracing headers have.

use serde::Deserialize;

/// A format of tracing headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// `traceparent` of W3C's Trace Context.
    W3c,
    /// `X-B3-TraceId` and others of Zipkin.
    B3,
    /// `b3` of Zipkin.
    B3Single,
    /// `uber-trace-id` of Jaeger.
    Jaeger,
    /// `ot-tracer-traceid` and others of OpenTracing.
    Ot,
    /// `x-datadog-trace-id` and others.
    Datadog,
    /// `x-amzn-trace-id`.
    Aws,
    /// `x-cloud-trace-context`.
    Gcp,
}

/// The names of all formats.
pub(crate) const NAMES: [&str; 8] = [
    "w3c",
    "b3",
    "b3-single",
    "jaeger",
    "ot",
    "datadog",
    "aws",
    "gcp",
];

impl Format {
    /// Its name in records: both formats of Zipkin have one.
    pub(crate) fn family(self) -> &'static str {
        match self {
            Self::W3c => "w3c",
            Self::B3 | Self::B3Single => "b3",
            Self::Jaeger => "jaeger",
            Self::Ot => "ot",
            Self::Datadog => "datadog",
            Self::Aws => "aws",
            Self::Gcp => "gcp",
        }
    }
}
