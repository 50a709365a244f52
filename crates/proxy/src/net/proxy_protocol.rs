//! The PROXY protocol: a load balancer tells the address of the client before the client's bytes.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use smallvec::SmallVec;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Longest header of version 2 that is read, in bytes; it may carry additions.
const MAX: usize = 2048;
/// Longest header of version 1, in bytes.
const MAX_LINE: usize = 107;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// A connection that does not begin with a PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a PROXY protocol header")]
pub(crate) struct NotProxied;

/// A header: its length, and the client's address unless the balancer speaks for itself.
pub(crate) type Header = (usize, Option<SocketAddr>);

/// Takes the header off the start of a connection.
pub(crate) async fn take(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut start = [0; MAX];
    let mut read = 0;
    loop {
        // The header ends where the client's own bytes begin, so only as much is read as it says.
        let missing = match parse(&start[..read]).map_err(io::Error::other)? {
            Found::Whole((_, client)) => return Ok(client),
            Found::Part(missing) => missing,
            Found::Line => {
                let seen = stream.peek(&mut start[read..MAX_LINE]).await?;
                of_line(&start[read..read + seen]).ok_or(io::ErrorKind::UnexpectedEof)?
            }
        };
        if read + missing > MAX {
            return Err(io::Error::other(NotProxied));
        }
        stream.read_exact(&mut start[read..read + missing]).await?;
        read += missing;
    }
}

/// How many of the next bytes belong to a line; none at the end of the connection.
fn of_line(next: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b'\n', next).map(|at| at + 1);
    end.or(Some(next.len())).filter(|length| *length > 0)
}

enum Found {
    Whole(Header),
    /// So many bytes are missing at least.
    Part(usize),
    /// The rest of a line is missing.
    Line,
}

fn parse(start: &[u8]) -> Result<Found, NotProxied> {
    let common = start.len().min(SIGNATURE.len());
    if start.len() < 16 && start[..common] == SIGNATURE[..common] {
        return Ok(Found::Part(if start.is_empty() {
            1
        } else {
            16 - start.len()
        }));
    }
    if start.starts_with(SIGNATURE) {
        return version_2(start);
    }
    version_1(start)
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`
fn version_1(start: &[u8]) -> Result<Found, NotProxied> {
    const PREFIX: &[u8] = b"PROXY ";
    let common = start.len().min(PREFIX.len());
    if start[..common] != PREFIX[..common] {
        return Err(NotProxied);
    }
    let Some(line) = start.strip_suffix(b"\n") else {
        return match start.len() {
            ..MAX_LINE => Ok(Found::Line),
            _ => Err(NotProxied),
        };
    };
    let line = line.strip_suffix(b"\r").ok_or(NotProxied)?;
    let line = std::str::from_utf8(line).map_err(|_| NotProxied)?;
    let words: SmallVec<[&str; 6]> = line.split(' ').skip(1).collect();
    let client = match words[..] {
        ["UNKNOWN", ..] => None,
        ["TCP4", source, destination, from, to] => {
            let _: (Ipv4Addr, u16) = (word(destination)?, word(to)?);
            Some((word::<Ipv4Addr>(source)?, word(from)?).into())
        }
        ["TCP6", source, destination, from, to] => {
            let _: (Ipv6Addr, u16) = (word(destination)?, word(to)?);
            Some((word::<Ipv6Addr>(source)?, word(from)?).into())
        }
        _ => return Err(NotProxied),
    };
    Ok(Found::Whole((start.len(), client)))
}

fn word<T: std::str::FromStr>(word: &str) -> Result<T, NotProxied> {
    word.parse().map_err(|_| NotProxied)
}

fn version_2(start: &[u8]) -> Result<Found, NotProxied> {
    let [command, family, high, low] = start[12..16] else {
        return Err(NotProxied);
    };
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    if start.len() < length {
        return Ok(Found::Part(length - start.len()));
    }
    let body = &start[16..length];
    let client = match (command, family >> 4) {
        (0x20, _) => None,
        (0x21, 1) => {
            let ip: [u8; 4] = part(body, 0)?;
            let port = u16::from_be_bytes(part(body, 8)?);
            Some(SocketAddr::new(Ipv4Addr::from(ip).into(), port))
        }
        (0x21, 2) => {
            let ip: [u8; 16] = part(body, 0)?;
            let port = u16::from_be_bytes(part(body, 32)?);
            Some(SocketAddr::new(Ipv6Addr::from(ip).into(), port))
        }
        (0x21, _) => None,
        _ => return Err(NotProxied),
    };
    Ok(Found::Whole((length, client)))
}

fn part<const N: usize>(body: &[u8], from: usize) -> Result<[u8; N], NotProxied> {
    body.get(from..from + N)
        .and_then(|part| part.try_into().ok())
        .ok_or(NotProxied)
}

/// Parses as [`take`] does, taking only as much as is asked for.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn taken(wire: &[u8]) -> Result<Header, NotProxied> {
    let mut read = 0;
    loop {
        let missing = match parse(&wire[..read])? {
            Found::Whole(header) => return Ok(header),
            Found::Part(missing) => missing,
            Found::Line => of_line(&wire[read..]).ok_or(NotProxied)?,
        };
        read += missing;
        if read > wire.len().min(MAX) {
            return Err(NotProxied);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_versions_tell_the_client_and_leave_the_rest() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
        let whole = [&line[..], b"GET /"].concat();
        let client = Some("192.0.2.1:56324".parse().unwrap());
        assert_eq!(taken(&whole), Ok((line.len(), client)));
        assert_eq!(taken(b"PROXY UNKNOWN\r\nrest"), Ok((15, None)));
        let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n";
        let client = Some("[2001:db8::1]:1".parse().unwrap());
        assert_eq!(taken(line), Ok((line.len(), client)));
        let client = Some("192.0.2.1:56324".parse().unwrap());
        let mut binary = SIGNATURE.to_vec();
        binary.extend_from_slice(&[0x21, 0x11, 0, 15]);
        binary.extend_from_slice(&[192, 0, 2, 1, 10, 0, 0, 1, 0xdc, 0x04, 1, 0xbb, 4, 0, 0]);
        let length = binary.len();
        binary.extend_from_slice(b"GET /");
        assert_eq!(taken(&binary), Ok((length, client)));
    }

    #[test]
    fn anything_else_is_refused() {
        for wire in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 x y 1 2\r\n",
            b"PROXY TCP4 192.0.2.1\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 70000\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 56324 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x02ab",
        ] {
            assert_eq!(taken(wire), Err(NotProxied), "{wire:?}");
        }
        let endless = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        assert_eq!(taken(&endless), Err(NotProxied));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_header_ends_where_it_says_whatever_follows(
            version in 0..2_usize,
            middle in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let begin = [&b"PROXY TCP6 "[..], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"][version];
            let wire = [begin, &middle].concat();
            if let Ok((length, client)) = taken(&wire) {
                prop_assert_eq!(taken(&wire[..length]), Ok((length, client)));
                prop_assert!((0..length).all(|cut| taken(&wire[..cut]).is_err()));
            }
        }
    }
}
