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
    /// The upstream did not begin with the request: it refused the stream, or was going away.
    #[error("the upstream did not take the request")]
    Refused,
    /// The HTTP/2 stream was ended before the response's end.
    #[error("the stream was ended: {0}")]
    Reset(h2::Reason),
    /// The request cannot be said in the upstream's HTTP version.
    #[error("the request cannot be said in HTTP/2: {0}")]
    Unsayable(String),
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
        !matches!(
            self,
            Self::Response(_) | Self::Reset(_) | Self::Unsayable(_) | Self::Unusable
        )
    }

    /// Whether the request may have reached the upstream.
    pub(crate) fn after_sending(&self) -> bool {
        matches!(
            self,
            Self::Broken(_) | Self::Timeout | Self::Reset(_) | Self::Response(_)
        )
    }

    /// What the client is told.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::ConnectTimeout | Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

impl From<h2::Error> for Fault {
    fn from(error: h2::Error) -> Self {
        // Streams after the last one that a `GOAWAY` names were not looked at.
        if error.is_remote()
            && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
        {
            return Self::Refused;
        }
        match error.reason() {
            Some(reason) => Self::Reset(reason),
            None => Self::Broken(match error.into_io() {
                Some(error) => error,
                None => std::io::Error::other("HTTP/2 was not spoken as agreed"),
            }),
        }
    }
}
