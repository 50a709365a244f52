//! HTTP towards the authority.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;

use super::chains::{CHAIN, Chains};
use crate::logging::endpoint::told;
use crate::names::Names;

/// The longest answer, in bytes: a chain of certificates is some 10 KiB.
const MAX_BODY: usize = 1024 * 1024;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Speaks with an authority whose certificate this node believes in.
pub(super) struct Transport {
    client: reqwest::Client,
    chains: Option<Arc<Chains>>,
}

impl Transport {
    pub(super) fn new(
        tls: &Arc<ClientConfig>,
        names: &Names,
        chains: Option<Arc<Chains>>,
    ) -> Result<Self, reqwest::Error> {
        let client = client(tls, names)?;
        Ok(Self { client, chains })
    }
}

fn client(tls: &Arc<ClientConfig>, names: &Names) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .tls_backend_preconfigured((**tls).clone())
        .dns_resolver(Arc::new(names.clone()))
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
}

/// The status of a page, and its text.
///
/// # Errors
/// What went wrong.
pub(super) async fn get(
    tls: &Arc<ClientConfig>,
    names: &Names,
    url: &str,
) -> Result<(u16, String), String> {
    let said = |error: reqwest::Error| told(&error);
    let client = client(tls, names).map_err(said)?;
    let mut answer = client.get(url).send().await.map_err(said)?;
    let body = read(&mut answer).await.map_err(said)?;
    let text = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
    Ok((answer.status().as_u16(), text))
}

/// The body of an answer; none where it is too long.
async fn read(answer: &mut reqwest::Response) -> Result<Option<Bytes>, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > MAX_BODY {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body.freeze()))
}

fn is_chain(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| {
        kind.split(';')
            .next()
            .is_some_and(|kind| kind.trim() == CHAIN)
    })
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (client, chains) = (self.client.clone(), self.chains.clone());
        Box::pin(async move {
            let other = |error: reqwest::Error| Error::Other(Box::new(error));
            let (parts, body) = request.into_parts();
            let uri = parts.uri.to_string();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let asked = client
                .request(parts.method, &uri)
                .headers(parts.headers)
                .body(body);
            let mut answer = asked.send().await.map_err(other)?;
            let mut response = Response::new(());
            *response.status_mut() = answer.status();
            *response.headers_mut() = std::mem::take(answer.headers_mut());
            let body = read(&mut answer).await.map_err(other)?;
            let body = body.ok_or(Error::Str("the authority answers too much"))?;
            if let Some(chains) = chains
                && is_chain(response.headers())
            {
                chains.see(&uri, response.headers(), &body);
            }
            Ok(response.map(|()| Full::new(body)).into())
        })
    }
}
