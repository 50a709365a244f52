//! Whether a matched route accepts the request's protocol.
//!
//! Routes are matched without regard to their protocols; a request over the wrong one is answered
//! instead of being forwarded.

use keelgate_entities::kinds::{Protocol, Route};

/// The answer to a request with regard to its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may pass.
    Pass,
    /// TLS is required; 426 with `Connection: Upgrade`, `Upgrade: TLS/1.2, HTTP/1.1` and the
    /// message "Please use HTTPS protocol".
    HttpsRequired,
    /// The client is sent to `https://` with this status (301, 302, 307 or 308).
    RedirectToHttps(u16),
    /// gRPC over HTTP/1: 426 with `upgrade: HTTP/2` and "Please use HTTP2 protocol".
    Http2Required,
    /// Not gRPC on a gRPC route: 415 with "Non-gRPC request matched gRPC route".
    GrpcRequired,
    /// gRPC in clear on a route for gRPC over TLS: 200 with `grpc-status: 1` and
    /// `grpc-message: gRPC request matched gRPCs route`.
    GrpcsRequired,
}

/// Decides on a request. `forwarded_proto` is the scheme as the client sees it (from a trusted
/// proxy's `X-Forwarded-Proto`, otherwise `http` or `https`); `content_type` is that of the request.
pub fn admit(
    route: &Route,
    forwarded_proto: &str,
    http2: bool,
    content_type: Option<&str>,
) -> Admission {
    let accepts = |protocol| route.protocols.contains(&protocol);
    let secure = forwarded_proto == "https";

    if accepts(Protocol::Https) && !accepts(Protocol::Http) && !secure {
        match route.https_redirect_status_code {
            426 => return Admission::HttpsRequired,
            status @ (301 | 302 | 307 | 308) => return Admission::RedirectToHttps(status),
            _ => {}
        }
    }
    if accepts(Protocol::Grpc) || accepts(Protocol::Grpcs) {
        let is_grpc = content_type.is_some_and(|value| value.starts_with("application/grpc"));
        if !is_grpc {
            return Admission::GrpcRequired;
        }
        if !http2 {
            return Admission::Http2Required;
        }
        if !accepts(Protocol::Grpc) && !secure {
            return Admission::GrpcsRequired;
        }
    }
    Admission::Pass
}

#[cfg(test)]
mod tests {
    use super::{Admission, admit};
    use crate::tests::route;
    use keelgate_entities::kinds::Protocol::{self, Grpc, Grpcs, Http, Https};

    fn over(protocols: &[Protocol], status: u16, proto: &str) -> Admission {
        let mut route = route(1);
        route.protocols = protocols.to_vec();
        route.https_redirect_status_code = status;
        admit(&route, proto, true, Some("application/grpc+proto"))
    }

    #[test]
    fn https_only_routes_refuse_or_redirect_clear_requests() {
        assert_eq!(over(&[Https], 426, "http"), Admission::HttpsRequired);
        assert_eq!(over(&[Https], 308, "http"), Admission::RedirectToHttps(308));
        assert_eq!(over(&[Https], 308, "https"), Admission::Pass);
        assert_eq!(over(&[Http, Https], 426, "http"), Admission::Pass);
    }

    #[test]
    fn a_clear_only_route_takes_tls_as_well() {
        assert_eq!(over(&[Http], 426, "https"), Admission::Pass);
    }

    #[test]
    fn grpc_routes_ask_for_grpc_over_http2() {
        let mut route = route(1);
        route.protocols = vec![Grpc];
        assert_eq!(admit(&route, "http", true, None), Admission::GrpcRequired);
        let grpc = Some("application/grpc");
        assert_eq!(admit(&route, "http", false, grpc), Admission::Http2Required);
        assert_eq!(admit(&route, "http", true, grpc), Admission::Pass);
        assert_eq!(over(&[Grpcs], 426, "http"), Admission::GrpcsRequired);
        assert_eq!(over(&[Grpcs], 426, "https"), Admission::Pass);
    }
}
