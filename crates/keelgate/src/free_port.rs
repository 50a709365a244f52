//! Ports for nodes that this program starts beside itself.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// Below the range that the kernel takes ports of outgoing connections from, so that none of those
/// takes one between its choice here and the moment that a node listens on it.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// How many are tried: most are free.
const ATTEMPTS: usize = 200;

/// Listens on a loopback port that was free; it is free again once the listener is dropped.
pub(crate) fn listen() -> Result<TcpListener> {
    (0..ATTEMPTS)
        .find_map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(RANGE))).ok())
        .with_context(|| {
            format!(
                "cannot find a free port of 127.0.0.1 between {} and {}; end what uses them",
                RANGE.start, RANGE.end
            )
        })
}

/// A loopback port that was free.
pub(crate) fn number() -> Result<u16> {
    Ok(listen()?.local_addr()?.port())
}
