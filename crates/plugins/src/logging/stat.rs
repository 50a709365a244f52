//! What `statsd` and `datadog` have in common.

use std::fmt;

use keelgate_entities::kinds::{Consumer, Route, Service};
use keelgate_entities::schema::{CheckRule, Field};
use serde::Deserialize;

use super::figures::{self, Latencies};
use super::json;
use crate::stream::Ended;
use crate::{Exchange, setting};

/// What sort of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StatType {
    Counter,
    Gauge,
    Histogram,
    Meter,
    Set,
    Timer,
    Distribution,
}

impl StatType {
    /// As it stands in a line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "c",
            Self::Gauge => "g",
            Self::Histogram => "h",
            Self::Meter => "m",
            Self::Set => "s",
            Self::Timer => "ms",
            Self::Distribution => "d",
        }
    }
}

/// A counter or a gauge has to say how often it is sent.
pub(crate) fn sample_rate_where_needed() -> CheckRule {
    CheckRule::conditional(
        "stat_type",
        |field| field.one_of(["counter", "gauge"]),
        "sample_rate",
        Field::required,
    )
}

/// A number of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    RequestCount,
    RequestSize,
    ResponseSize,
    Latency,
    UpstreamLatency,
    KongLatency,
}

impl Figure {
    /// The figure that a configuration names.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "request_count" => Self::RequestCount,
            "request_size" => Self::RequestSize,
            "response_size" => Self::ResponseSize,
            "latency" => Self::Latency,
            "upstream_latency" => Self::UpstreamLatency,
            "kong_latency" => Self::KongLatency,
            _ => return None,
        })
    }

    /// As it stands in a line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::RequestCount => "request.count",
            Self::RequestSize => "request.size",
            Self::ResponseSize => "response.size",
            Self::Latency => "latency",
            Self::UpstreamLatency => "upstream_latency",
            Self::KongLatency => "kong_latency",
        }
    }
}

/// The figures of one request.
#[derive(Clone, Copy, Debug)]
struct Figures {
    request_size: u64,
    response_size: u64,
    latencies: Latencies,
}

impl Figures {
    fn of(exchange: &Exchange<'_>) -> Self {
        Self {
            request_size: figures::request_size(exchange),
            response_size: figures::response_size(exchange),
            latencies: Latencies::of(exchange),
        }
    }

    /// Sizes are those of what the client sent and was sent; nobody waits for a head.
    fn of_session(ended: &Ended<'_>) -> Self {
        let took = ended.took.as_millis() as u64;
        let before = ended
            .before_upstream
            .map(|before| before.as_millis() as u64);
        Self {
            request_size: ended.with_client.received,
            response_size: ended.with_client.sent,
            latencies: Latencies {
                request: took,
                kong: before.unwrap_or(took),
                proxy: -1,
                receive: 0,
            },
        }
    }

    /// One of them; none where there is none: a request that was not proxied has not waited for an
    /// upstream.
    fn get(&self, figure: Figure) -> Option<u64> {
        match figure {
            Figure::RequestCount => Some(1),
            Figure::RequestSize => Some(self.request_size),
            Figure::ResponseSize => Some(self.response_size),
            Figure::Latency => Some(self.latencies.request),
            Figure::KongLatency => Some(self.latencies.kong),
            Figure::UpstreamLatency => u64::try_from(self.latencies.proxy).ok(),
        }
    }
}

/// What lines tell of a request or a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'e> {
    pub(crate) route: Option<&'e Route>,
    pub(crate) service: Option<&'e Service>,
    pub(crate) consumer: Option<&'e Consumer>,
    pub(crate) status: u16,
    figures: Figures,
}

impl<'e> Seen<'e> {
    pub(crate) fn of(exchange: &Exchange<'e>) -> Self {
        Self {
            route: exchange.route,
            service: exchange.service,
            consumer: exchange.consumer,
            status: exchange.response.status.as_u16(),
            figures: Figures::of(exchange),
        }
    }

    pub(crate) fn of_session(ended: &Ended<'e>) -> Self {
        Self {
            route: Some(ended.route),
            service: ended.service,
            consumer: None,
            status: ended.status,
            figures: Figures::of_session(ended),
        }
    }

    /// One of the figures, where there is one.
    pub(crate) fn figure(&self, figure: Figure) -> Option<u64> {
        self.figures.get(figure)
    }
}

/// What a consumer is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConsumerIdentifier {
    ConsumerId,
    CustomId,
    Username,
}

impl ConsumerIdentifier {
    /// Appends what the consumer is called; whether it is called anything.
    pub(crate) fn write(self, consumer: &Consumer, out: &mut Vec<u8>) -> bool {
        let name = match self {
            Self::ConsumerId => {
                json::bare_id(out, consumer.id);
                return true;
            }
            Self::CustomId => consumer.custom_id.as_deref(),
            Self::Username => consumer.username.as_deref(),
        };
        name.map(|name| write_clean(name, out)).is_some()
    }
}

/// `|@0.5` for a sample rate that is not 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate(pub(crate) Option<f64>);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(rate) if rate != 1.0 => write!(f, "|@{}", setting::number(rate)),
            _ => Ok(()),
        }
    }
}

/// A name that can stand in a line: the end of a line is what ends it, and nothing else may.
pub(crate) fn clean(name: &str) -> String {
    name.replace(char::is_control, "_")
}

/// The same, as a part of a name with dots.
pub(crate) fn dotless(name: &str) -> String {
    clean(name).replace('.', "_")
}

/// Appends [`clean`].
pub(crate) fn write_clean(name: &str, out: &mut Vec<u8>) {
    replace(name, char::is_control, out);
}

/// Appends [`dotless`].
pub(crate) fn write_dotless(name: &str, out: &mut Vec<u8>) {
    replace(name, |letter| letter.is_control() || letter == '.', out);
}

fn replace(name: &str, is_odd: impl Fn(char) -> bool, out: &mut Vec<u8>) {
    if name.is_ascii() {
        out.extend(name.bytes().map(|byte| match is_odd(char::from(byte)) {
            true => b'_',
            false => byte,
        }));
        return;
    }
    out.extend_from_slice(name.replace(is_odd, "_").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_line_or_a_part_is_replaced() {
        for (name, expected) in [("a.b\n", "a_b_"), ("\u{e9}.\u{85}", "\u{e9}__")] {
            let mut out = Vec::new();
            write_dotless(name, &mut out);
            assert_eq!(out, expected.as_bytes());
            assert_eq!(dotless(name), expected);
        }
    }
}
