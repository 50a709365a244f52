//! The log of sessions: what is told about one after its end.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::Transport;
use crate::access_log::Stamp;

/// What is told about a session after its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// The client, after trusted proxies were resolved.
    pub client: IpAddr,
    /// When the session ended.
    pub ended_at: SystemTime,
    /// How the client came.
    pub transport: Transport,
    /// 200 for a session that was proxied; otherwise why it was not, in the words of HTTP.
    pub status: u16,
    /// Bytes sent to the client, before any encryption.
    pub sent: u64,
    /// Bytes received from the client, after any decryption.
    pub received: u64,
    /// How long the session lasted.
    pub lasted: Duration,
}

/// Told about every session, on the core that served it. Must not block.
pub trait StreamLog: Send + Sync {
    /// One session has ended.
    fn record(&self, record: &StreamRecord);

    /// Opens its file anew, after something has moved it away. May block.
    fn reopen(&self) {}
}

/// The record as one line in Kong's format `basic`, without the line's end.
impl fmt::Display for StreamRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} [{}] {} {} {} {} {}.{:03}",
            self.client,
            Stamp(self.ended_at),
            self.transport.as_str(),
            self.status,
            self.sent,
            self.received,
            self.lasted.as_secs(),
            self.lasted.subsec_millis(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_becomes_one_line() {
        let record = StreamRecord {
            client: IpAddr::from([127, 0, 0, 1]),
            ended_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
            transport: Transport::Tls,
            status: 200,
            sent: 12,
            received: 5,
            lasted: Duration::from_millis(2_045),
        };
        assert_eq!(
            record.to_string(),
            "127.0.0.1 [01/Jan/1970:00:00:01 +0000] TCP 200 12 5 2.045"
        );
    }
}
