//! Where the time of a request went, told to whoever asks for it and may
//! (`X-Kong-Request-Debug`).

use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::Flight;

const ASKED: HeaderName = HeaderName::from_static("x-kong-request-debug");
const TOKEN: HeaderName = HeaderName::from_static("x-kong-request-debug-token");
const LOG: HeaderName = HeaderName::from_static("x-kong-request-debug-log");
const OUTPUT: HeaderName = HeaderName::from_static("x-kong-request-debug-output");

/// Length of a report from which on clients that are not on this machine are pointed to the log.
const LONGEST: usize = 2048;

/// A part of a request's way.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Rewrite,
    Router,
    Plugins,
    Balancer,
    HeaderFilter,
}

/// The times of a request.
pub(super) struct Report {
    /// The client is on this machine.
    nearby: bool,
    /// The log is to be told, too.
    log: bool,
    spent: [Duration; 5],
}

/// Begins a report if the request asks for one and may. What it asked with goes no further.
pub(super) fn begin(flight: &mut Flight<'_>) {
    let Some(settings) = &flight.core.settings.request_debug else {
        return;
    };
    let headers = &mut flight.exchange.headers;
    let Some(asked) = headers.remove(ASKED) else {
        return;
    };
    let token = headers.remove(TOKEN);
    let log = headers.remove(LOG);
    let nearby = flight.exchange.client.ip.to_canonical().is_loopback();
    let may = nearby || token.is_some_and(|token| settings.is_token(token.as_bytes()));
    if asked == "*" && may {
        flight.debug = Some(Box::new(Report {
            nearby,
            log: log.is_some_and(|log| log == "true"),
            spent: [Duration::ZERO; 5],
        }));
    }
}

/// The moment at which a part begins; none where nobody asks.
pub(super) fn start(flight: &Flight<'_>) -> Option<Instant> {
    flight.debug.is_some().then(Instant::now)
}

/// Counts the time since `started` for a part.
pub(super) fn spent(flight: &mut Flight<'_>, part: Part, started: Option<Instant>) {
    if let (Some(report), Some(started)) = (&mut flight.debug, started) {
        report.spent[part as usize] += started.elapsed();
    }
}

/// Tells the client what is known when the head of the response goes out.
pub(super) fn tell(flight: &mut Flight<'_>) {
    let Some(report) = &flight.debug else {
        return;
    };
    let id = &flight.exchange.request_id;
    let whole = report.write(id, flight.exchange.times.upstream).to_string();
    let too_long = whole.len() >= LONGEST && !report.nearby;
    if report.log || too_long {
        tracing::info!("[request-debug] output: {whole}");
    }
    let told = if too_long {
        let message = "Output is truncated, please check the error_log for full output by \
                       filtering with the request_id.";
        json!({"truncated": true, "request_id": id, "message": message}).to_string()
    } else {
        whole
    };
    if let Ok(told) = HeaderValue::try_from(told) {
        flight.exchange.response.headers.insert(OUTPUT, told);
    }
}

impl Report {
    fn write(&self, request_id: &str, upstream: Option<Duration>) -> Value {
        let of = |part: Part| self.spent[part as usize];
        let access = of(Part::Router) + of(Part::Plugins);
        let own = access + of(Part::Rewrite) + of(Part::Balancer) + of(Part::HeaderFilter);
        let leaf = |spent| json!({"total_time": milliseconds(spent)});
        let mut children = json!({
            "rewrite": leaf(of(Part::Rewrite)),
            "access": {
                "total_time": milliseconds(access),
                "child": {"router": leaf(of(Part::Router)), "plugins": leaf(of(Part::Plugins))},
            },
            "balancer": leaf(of(Part::Balancer)),
            "header_filter": leaf(of(Part::HeaderFilter)),
        });
        if let Some(upstream) = upstream {
            // Kong tells whole milliseconds here.
            let first = json!({"total_time": upstream.as_millis() as u64});
            children["upstream"] = first.clone();
            children["upstream"]["child"] = json!({"time_to_first_byte": first});
        }
        json!({
            "request_id": request_id,
            "child": children,
            "total_time_without_upstream": milliseconds(own),
        })
    }
}

/// With two digits behind the point.
fn milliseconds(spent: Duration) -> f64 {
    (spent.as_secs_f64() * 1e5).floor() / 100.0
}
