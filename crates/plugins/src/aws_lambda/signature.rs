//! Requests that AWS knows the sender of: signature version 4.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::HttpRequestBody;
use url::Url;

/// The headers of a POST with its signature, for this service in this region.
///
/// # Errors
/// When the credential or the region holds what cannot stand in a header; no part of a secret is in
/// the text.
pub(super) fn signed(
    credential: &AwsCredential,
    (service, region): (&str, &str),
    url: &Url,
    headers: HeaderMap,
    body: Bytes,
) -> Result<HeaderMap, String> {
    let texts = [
        ("access key id", Some(credential.key_id.as_str())),
        ("session token", credential.token.as_deref()),
        ("region", Some(region)),
    ];
    for (name, text) in texts {
        let is_usable =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !text.is_none_or(is_usable) {
            return Err(format!(
                "the {name} is empty, or has more than letters and signs"
            ));
        }
    }
    let mut request = Request::new(HttpRequestBody::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.as_str().parse().map_err(|_| "the URL cannot be used")?;
    *request.headers_mut() = headers;
    AwsAuthorizer::new(credential, service, region)
        .try_authorize(&mut request, None)
        .map_err(|error| format!("the request cannot be signed: {error}"))?;
    Ok(std::mem::take(request.headers_mut()))
}
