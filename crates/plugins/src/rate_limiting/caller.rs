//! Whom a request is counted for.

use std::net::IpAddr;

use smallvec::SmallVec;
use uuid::Uuid;

use crate::Exchange;

/// Whom a request is counted for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller<'e> {
    /// A consumer, a credential or a service.
    Entity(Uuid),
    Address(IpAddr),
    /// A header's value, or a path.
    Text(&'e [u8]),
}

impl<'e> Caller<'e> {
    /// The consumer, or else the credential, or else the address.
    pub(crate) fn consumer(exchange: &Exchange<'_>) -> Self {
        match exchange.consumer {
            Some(consumer) => Self::Entity(consumer.id),
            None => Self::credential(exchange),
        }
    }

    /// The credential, or else the address.
    pub(crate) fn credential(exchange: &Exchange<'_>) -> Self {
        Self::entity(
            exchange.credential.map(|credential| credential.id),
            exchange,
        )
    }

    /// Something that has an id, or else the address.
    pub(crate) fn entity(id: Option<Uuid>, exchange: &Exchange<'_>) -> Self {
        id.map_or(Self::Address(exchange.client.ip), Self::Entity)
    }

    /// In few bytes.
    pub(crate) fn bytes(self) -> SmallVec<[u8; 16]> {
        match self {
            Self::Entity(id) => SmallVec::from_slice(id.as_bytes()),
            Self::Address(IpAddr::V4(ip)) => SmallVec::from_slice(&ip.octets()),
            Self::Address(IpAddr::V6(ip)) => SmallVec::from_slice(&ip.octets()),
            Self::Text(text) => SmallVec::from_slice(text),
        }
    }

    /// As text, which keys of Redis have.
    pub(crate) fn text(self) -> Vec<u8> {
        match self {
            Self::Entity(id) => id.to_string().into_bytes(),
            Self::Address(ip) => ip.to_string().into_bytes(),
            Self::Text(bytes) => bytes.to_vec(),
        }
    }
}
