//! Byte streams, and waiting on them with limits.

pub(crate) mod client_certificate;
pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod proxy_protocol;
pub(crate) mod spare;
pub(crate) mod stream;
pub(crate) mod timer;
pub(crate) mod tls_session;

pub(crate) use connection::Connection;
pub(crate) use spare::Spare;
pub(crate) use stream::Stream;
pub(crate) use timer::Timer;
