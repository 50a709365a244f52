//! What a node listens on.

use std::fmt;

use super::address::host_and_port;
use super::{Context, Invalid, Kind, Setting, entries};

/// One address to listen on, with its options, as in `0.0.0.0:8443 http2 ssl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// IP address, or a name that is resolved at start; IPv6 without brackets.
    pub host: String,
    /// Port; 0 lets the system choose a free one.
    pub port: u16,
    /// TLS is spoken.
    pub ssl: bool,
    /// HTTP/2 is offered: by ALPN with `ssl`, by prior knowledge without.
    pub http2: bool,
    /// Connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Datagrams instead of connections (streams only).
    pub udp: bool,
    /// Each worker has its own listening socket.
    pub reuseport: bool,
    /// Wake up only when the client has sent something.
    pub deferred: bool,
    /// Length of the queue of connections not yet accepted.
    pub backlog: Option<u32>,
    /// Whether an IPv6 socket takes IPv6 only; `None`: the system's default.
    pub ipv6only: Option<bool>,
    /// Whether idle connections are probed; `None`: the system's default.
    pub keepalive: Option<bool>,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

const USAGE: &str = "must be of form: [off] | <ip>:<port> [ssl] [http2] [proxy_protocol] [deferred] [bind] [reuseport] [backlog=N] [ipv6only=on|off] [so_keepalive=on|off], [... next entry ...]";

fn listener(entry: &str) -> Result<Listener, String> {
    let mut words = entry.split_ascii_whitespace();
    let (host, port) = words
        .next()
        .and_then(host_and_port)
        .ok_or_else(|| format!("'{entry}' does not begin with an address and a port"))?;
    let mut listener = Listener {
        host: host.to_owned(),
        port,
        ssl: false,
        http2: false,
        proxy_protocol: false,
        udp: false,
        reuseport: false,
        deferred: false,
        backlog: None,
        ipv6only: None,
        keepalive: None,
    };
    for word in words {
        let unknown = || format!("'{word}' is not an option of a listener");
        match word.split_once('=') {
            None => match word {
                "ssl" => listener.ssl = true,
                "http2" => listener.http2 = true,
                "proxy_protocol" => listener.proxy_protocol = true,
                "udp" => listener.udp = true,
                "reuseport" => listener.reuseport = true,
                "deferred" => listener.deferred = true,
                // A socket of its own for each entry is what there is anyway.
                "bind" => {}
                _ => return Err(unknown()),
            },
            Some(("backlog", number)) => {
                listener.backlog = Some(number.parse().map_err(|_| unknown())?);
            }
            Some(("ipv6only", "on")) => listener.ipv6only = Some(true),
            Some(("ipv6only", "off")) => listener.ipv6only = Some(false),
            Some(("so_keepalive", "off")) => listener.keepalive = Some(false),
            // The timings of nginx's long form are the system's here.
            Some(("so_keepalive", _)) => listener.keepalive = Some(true),
            Some(_) => return Err(unknown()),
        }
    }
    Ok(listener)
}

impl Setting for Vec<Listener> {
    const KIND: Kind = Kind::List(&Kind::Special(
        "an address such as 0.0.0.0:8443 http2 ssl; or off",
    ));

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        if entries(text).next() == Some("off") {
            return Ok(Self::new());
        }
        entries(text)
            .map(|entry| listener(entry).map_err(|what| Invalid::new(what, USAGE)))
            .collect()
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let listener = listener("[::]:8443 http2 ssl reuseport backlog=16384 ipv6only=on").unwrap();
        assert_eq!(listener.to_string(), "[::]:8443");
        assert!(listener.ssl && listener.http2 && listener.reuseport && !listener.deferred);
        assert_eq!(listener.backlog, Some(16384));
        assert_eq!(listener.ipv6only, Some(true));
    }

    #[test]
    fn unknown_options_and_addresses_are_refused() {
        for bad in [
            "8000",
            "0.0.0.0",
            "0.0.0.0:8000 tls",
            "0.0.0.0:8000 backlog=x",
            "0.0.0.0:99999",
        ] {
            assert!(listener(bad).is_err(), "{bad}");
        }
    }
}
