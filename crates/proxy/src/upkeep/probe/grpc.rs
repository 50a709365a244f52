//! A target's own word, by the health checking protocol of gRPC.

use std::io;

use bytes::{Bytes, BytesMut};
use h2::client;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use keelgate_balancer::Outcome;

use super::Probe;
use crate::net::Stream;

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// `HealthCheckRequest` about the server as a whole: an empty message behind its length.
const ABOUT_ALL: Bytes = Bytes::from_static(&[0; 5]);

/// `HealthCheckResponse` with `status = SERVING`.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

/// What an answer may be long, in bytes.
const LONGEST: usize = 16 * 1024;

/// Asks. A server that does not know the protocol answers, and so counts as one that serves.
pub(super) async fn ask(probe: &Probe<'_>, stream: Stream) -> io::Result<Outcome> {
    let (sender, connection) = client::Builder::new()
        .enable_push(false)
        .max_header_list_size(LONGEST as u32)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(io::Error::other)?;
    let asked = async {
        let mut sender = sender.ready().await?;
        let (response, mut body) = sender.send_request(request(probe)?, false)?;
        body.send_data(ABOUT_ALL, true)?;
        let mut response = response.await?;
        if response.status() != StatusCode::OK {
            return Ok(Outcome::Status(response.status().as_u16()));
        }
        // Without a message the code may stand in the head.
        let mut message = BytesMut::new();
        while let Some(data) = response.body_mut().data().await {
            let data = data?;
            response
                .body_mut()
                .flow_control()
                .release_capacity(data.len())?;
            if message.len() + data.len() > LONGEST {
                return Ok(Outcome::NotServing);
            }
            message.extend_from_slice(&data);
        }
        let trailers = response.body_mut().trailers().await?;
        let code = trailers
            .as_ref()
            .and_then(code)
            .or(code(response.headers()));
        Ok::<_, h2::Error>(judge(code, &message))
    };
    tokio::select! {
        outcome = asked => outcome.map_err(io::Error::other),
        ended = connection => Err(match ended {
            Ok(()) => io::ErrorKind::UnexpectedEof.into(),
            Err(error) => io::Error::other(error),
        }),
    }
}

fn request(probe: &Probe<'_>) -> Result<Request<()>, h2::Error> {
    let scheme = match probe.tls {
        Some(_) => "https",
        None => "http",
    };
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("{scheme}://{}{CHECK}", probe.authority))
        .body(())
        .map_err(|_| h2::Error::from(h2::Reason::INTERNAL_ERROR))?;
    let headers = request.headers_mut();
    for (name, value) in probe.headers() {
        headers.append(name, value);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    Ok(request)
}

fn code(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn judge(code: Option<u32>, message: &[u8]) -> Outcome {
    const OK: u32 = 0;
    const UNIMPLEMENTED: u32 = 12;
    match code {
        Some(OK) if message == SERVING => Outcome::Connected,
        Some(UNIMPLEMENTED) => Outcome::Connected,
        _ => Outcome::NotServing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_serves_when_it_says_so_or_knows_no_better() {
        assert_eq!(judge(Some(0), SERVING), Outcome::Connected);
        assert_eq!(judge(Some(12), b""), Outcome::Connected);
        let not_serving = [0, 0, 0, 0, 2, 8, 2];
        assert_eq!(judge(Some(0), &not_serving), Outcome::NotServing);
        assert_eq!(judge(Some(0), b""), Outcome::NotServing);
        assert_eq!(judge(Some(14), b""), Outcome::NotServing);
        assert_eq!(judge(None, SERVING), Outcome::NotServing);
    }
}
