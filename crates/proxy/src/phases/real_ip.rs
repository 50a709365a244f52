//! The client's address behind trusted proxies.

use std::net::{IpAddr, SocketAddr};

use http::HeaderName;
use keelgate_plugins::HeaderMap;

use smallvec::SmallVec;

use crate::settings::{RealIp, Settings};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether forwarding headers of a connection from `address` are believed.
pub(crate) fn is_trusted(settings: &Settings, address: IpAddr) -> bool {
    let address = address.to_canonical();
    settings
        .trusted_ips
        .iter()
        .any(|network| network.contains(&address))
}

/// The client's address: the peer's, or what trusted peers say it is.
///
/// The header is read from the right. Each trusted hop is replaced by the address before it; with
/// `real_ip_recursive` until one is not trusted, otherwise once.
pub(crate) fn resolve(
    settings: &Settings,
    peer: IpAddr,
    told: Option<SocketAddr>,
    headers: &HeaderMap,
) -> IpAddr {
    if settings.trusted_ips.is_empty() || !is_trusted(settings, peer) {
        return peer;
    }
    let name = match &settings.real_ip {
        RealIp::ProxyProtocol => return told.map_or(peer, |told| told.ip()),
        RealIp::Header(name) => name,
    };
    let mut client = peer;
    // Only lists of hops may be continued on further lines.
    let lines = if *name == X_FORWARDED_FOR {
        usize::MAX
    } else {
        1
    };
    let lines: SmallVec<[_; 4]> = headers.get_all(name).bytes().take(lines).collect();
    let hops = lines
        .iter()
        .rev()
        .flat_map(|line| line.rsplit(|byte| b", \t".contains(byte)))
        .filter(|hop| !hop.is_empty());
    for hop in hops {
        // Whoever wrote what is no address may have written all that stands before it.
        let Some(address) = std::str::from_utf8(hop).ok().and_then(parse) else {
            break;
        };
        client = address;
        if !settings.real_ip_recursive || !is_trusted(settings, client) {
            break;
        }
    }
    client
}

/// An address, with or without a port.
fn parse(hop: &str) -> Option<IpAddr> {
    hop.parse()
        .ok()
        .or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn resolved(header: &'static str, recursive: bool, values: &[&str]) -> String {
        let name = HeaderName::from_static(header);
        let settings = Settings {
            trusted_ips: vec!["127.0.0.0/8".parse().unwrap()],
            real_ip: RealIp::Header(name.clone()),
            real_ip_recursive: recursive,
            ..Settings::default()
        };
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        resolve(&settings, IpAddr::from([127, 0, 0, 1]), None, &headers).to_string()
    }

    #[test]
    fn hops_are_read_from_the_right() {
        let xff = "x-forwarded-for";
        assert_eq!(resolved(xff, true, &["9.9.9.9, 127.0.0.5"]), "9.9.9.9");
        assert_eq!(resolved(xff, false, &["9.9.9.9, 127.0.0.5"]), "127.0.0.5");
        assert_eq!(resolved(xff, true, &["8.8.8.8, 9.9.9.9"]), "9.9.9.9");
        assert_eq!(resolved(xff, true, &["8.8.8.8", "9.9.9.9"]), "9.9.9.9");
        assert_eq!(resolved(xff, true, &["nonsense, 127.0.0.9"]), "127.0.0.9");
    }

    #[test]
    fn nobody_hides_what_a_trusted_hop_added() {
        let xff = "x-forwarded-for";
        let lines = ["8.8.8.8", "\u{e9}, 9.9.9.9"];
        assert_eq!(resolved(xff, true, &lines), "9.9.9.9");
        assert_eq!(resolved(xff, true, &["8.8.8.8", "\u{e9}"]), "127.0.0.1");
        assert_eq!(resolved(xff, true, &["8.8.8.8,\t9.9.9.9"]), "9.9.9.9");
        let lines = ["8.8.8.8", "\u{e9}, 127.0.0.7"];
        assert_eq!(resolved(xff, true, &lines), "127.0.0.7");
    }

    #[test]
    fn odd_values_are_survived() {
        let real = "x-real-ip";
        assert_eq!(resolved(real, false, &["9.9.9.9:80"]), "9.9.9.9");
        assert_eq!(resolved(real, false, &["9.9.9.9", "8.8.8.8"]), "9.9.9.9");
        assert_eq!(resolved(real, false, &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(resolved(real, false, &["nonsense"]), "127.0.0.1");
        assert_eq!(resolved(real, false, &[""]), "127.0.0.1");
    }
}
