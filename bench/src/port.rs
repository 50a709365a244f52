//! Free ports.

use std::net::{Ipv4Addr, TcpListener};

/// A port of the loopback address that nobody listens on at this moment.
pub(crate) fn free() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
