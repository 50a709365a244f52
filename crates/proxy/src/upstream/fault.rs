//! Why an attempt at an upstream failed.

use http::StatusCode;

use crate::http1::Malformed;

/// Why an attempt at an upstream failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// No connection could be made.
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    /// The connection was not there in time.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// The TLS handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Tls(std::io::Error),
    /// The connection broke, or was closed before the response's head.
    #[error("the connection broke: {0}")]
    Broken(std::io::Error),
    /// Nothing could be written, or nothing came, in time.
    #[error("the upstream took too long")]
    Timeout,
    /// The service speaks a protocol that this build does not.
    #[error("services of protocol {0} cannot be called by this build; use http or https")]
    Protocol(&'static str),
    /// A certificate that the service names cannot be used.
    #[error(
        "a certificate of the service is missing or cannot be used, see the log of its activation"
    )]
    Unusable,
    /// The response cannot be understood.
    #[error("the response cannot be understood: {0}")]
    Response(#[from] Malformed),
}

impl Fault {
    /// Whether another attempt makes sense as far as the fault goes; an upstream that answered
    /// nonsense has worked on the request.
    pub(crate) fn may_be_retried(&self) -> bool {
        !matches!(self, Self::Response(_) | Self::Protocol(_) | Self::Unusable)
    }

    /// Whether the request may have reached the upstream.
    pub(crate) fn after_sending(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Timeout | Self::Response(_))
    }

    /// What the client is told.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::ConnectTimeout | Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}
