//! The spans of a request, in the JSON of Zipkin's second version.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Serialize;

/// A span.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Span<'s> {
    pub(super) trace_id: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent_id: Option<String>,
    pub(super) id: String,
    /// `SERVER` or `CLIENT`.
    pub(super) kind: &'static str,
    /// Microseconds since 1970.
    pub(super) timestamp: u64,
    /// Microseconds.
    pub(super) duration: u64,
    pub(super) local_endpoint: LocalEndpoint<'s>,
    pub(super) remote_endpoint: Option<RemoteEndpoint<'s>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<&'s str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) annotations: Vec<Annotation>,
}

/// Who tells.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LocalEndpoint<'s> {
    pub(super) service_name: &'s str,
}

/// Who was talked to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RemoteEndpoint<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    service_name: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv4: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

/// A point in time that means something.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Annotation {
    pub(super) value: &'static str,
    /// Microseconds since 1970.
    pub(super) timestamp: u64,
}

impl<'s> RemoteEndpoint<'s> {
    /// None where nothing is known.
    pub(super) fn of(
        service_name: Option<&'s str>,
        address: Option<(IpAddr, u16)>,
    ) -> Option<Self> {
        let (ip, port) = address.unzip();
        (service_name.is_some() || port.is_some()).then(|| Self {
            service_name,
            ipv4: ip.filter(IpAddr::is_ipv4),
            ipv6: ip.filter(IpAddr::is_ipv6),
            port,
        })
    }
}

impl Span<'_> {
    /// Takes from a start to an end.
    pub(super) fn lasting(mut self, start: SystemTime, end: SystemTime) -> Self {
        self.timestamp = microseconds(start);
        self.duration = microseconds(end).saturating_sub(self.timestamp);
        self
    }

    /// Leaves out tags that tell nothing, which Zipkin refuses.
    pub(super) fn write(mut self) -> Bytes {
        self.tags.retain(|_, value| !value.is_empty());
        let json = serde_json::to_vec(&self);
        json.expect("texts and numbers are written to memory")
            .into()
    }
}

/// Microseconds since 1970.
pub(super) fn microseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    since.as_micros() as u64
}
