//! The record about a TCP, TLS or UDP session, in JSON.

use super::fields::Fields;
use super::{json, parts};
use crate::Places;
use crate::stream::Ended;

/// Appends the record about a session, in JSON.
pub(crate) fn write(ended: &Ended<'_>, fields: &Fields, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(br#"{"session":{"#);
    if let Some(session) = ended.client.session {
        parts::tls(session, out);
        out.push(b',');
    }
    let milliseconds = |time: std::time::Duration| time.as_millis() as u64;
    let began = parts::since_1970(ended.began_at);
    let numbers: [(&[u8], u64); 9] = [
        (br#""received":"#, ended.with_client.received),
        (br#","sent":"#, ended.with_client.sent),
        (br#","status":"#, ended.status.into()),
        (br#","server_port":"#, ended.client.local.port().into()),
        (
            br#"},"upstream":{"received":"#,
            ended.with_upstream.received,
        ),
        (br#","sent":"#, ended.with_upstream.sent),
        (
            br#"},"latencies":{"kong":"#,
            milliseconds(ended.before_upstream.unwrap_or(ended.took)),
        ),
        (br#","session":"#, milliseconds(ended.took)),
        (br#"},"started_at":"#, milliseconds(began)),
    ];
    for (name, number) in numbers {
        out.extend_from_slice(name);
        json::number(out, number);
    }
    out.push(b',');
    parts::tries(ended.tries, out);
    // Nobody authenticates on streams, so there is no consumer.
    parts::entities(
        Places::default(),
        Some(ended.route),
        ended.service,
        None,
        out,
    );
    out.extend_from_slice(br#","client_ip":"#);
    json::address(out, ended.client.ip);
    parts::workspace(out);
    out.push(b'}');
    fields.change(start, out);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::ended;

    #[test]
    fn a_record_tells_what_kind_of_session_there_was() {
        let mut out = Vec::new();
        write(&ended(), &Fields::default(), &mut out);
        let mut record: Value = serde_json::from_slice(&out).unwrap();
        let route = record["route"].take();
        assert_eq!(route["protocols"], json!(["tls"]));
        assert_eq!(route["ws_id"], record["workspace"]);
        let expected = json!({
            "session": {
                "tls": {
                    "version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256",
                    "client_verify": "NONE",
                },
                "received": 5, "sent": 7, "status": 200, "server_port": 9000,
            },
            "upstream": {"received": 8, "sent": 6},
            "latencies": {"kong": 2, "session": 1500},
            "tries": [{
                "ip": "192.0.2.1", "port": 80, "balancer_start": 1_709_210_096_000_u64,
                "balancer_start_ns": 1_709_210_096_000_000_000_u64, "balancer_latency": 0,
                "balancer_latency_ns": 0,
            }],
            "route": null,
            "service": record["service"],
            "client_ip": "192.0.2.7",
            "started_at": 1_709_210_096_000_u64,
            "workspace": "0dc6f45b-8f8d-40d2-a504-473544ee190b",
            "workspace_name": "default",
        });
        assert_eq!(record, expected);
        assert_eq!(record["service"]["name"], "s");
    }
}
