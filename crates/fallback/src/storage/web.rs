//! The HTTP client of what `object_store` does not speak to: token endpoints, and `https://`
//! storages.

use std::error::Error as _;

use bytes::{Bytes, BytesMut};
use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder, Response};

use super::place::Place;
use super::{ErrorKind, StorageError, StorageSettings};

/// A client that verifies certificates, follows no redirects (its headers and bodies are secrets),
/// and is bounded in time.
pub(super) fn client(
    place: &Place,
    settings: &StorageSettings,
) -> Result<ClientBuilder, StorageError> {
    let trusted = trusted(settings).map_err(|wrong| place.invalid(wrong))?;
    Ok(ClientBuilder::new()
        .user_agent(concat!("keelgate/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .tls_certs_merge(trusted)
        .connect_timeout(settings.time_outs.connect)
        .timeout(settings.time_outs.operation))
}

/// Reads the authorities that are trusted besides those of the system.
pub(super) fn trusted(settings: &StorageSettings) -> Result<Vec<Certificate>, &'static str> {
    let wrong = "a trusted certificate cannot be read: check that the files of lua_ssl_trusted_certificate are PEM";
    let mut trusted = Vec::new();
    for pem in &settings.trusted_certificates {
        trusted.extend(Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| wrong)?);
    }
    // What stands between the lines is looked at by a client alone.
    let client = ClientBuilder::new().tls_certs_only(trusted.iter().cloned());
    match client.build() {
        Ok(_) => Ok(trusted),
        Err(_) => Err(wrong),
    }
}

/// Reads a body of at most `limit` bytes; nothing when it is longer.
pub(super) async fn body(
    mut response: Response,
    limit: u64,
) -> Result<Option<Bytes>, reqwest::Error> {
    let told = response.content_length().unwrap_or_default();
    if told > limit {
        return Ok(None);
    }
    let mut bytes = BytesMut::with_capacity(usize::try_from(told).unwrap_or_default());
    while let Some(chunk) = response.chunk().await? {
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes.freeze()))
}

/// The meaning of a failure of the connection, and its innermost cause, without the address.
pub(super) fn meaning(error: reqwest::Error) -> (ErrorKind, String) {
    let kind = if error.is_timeout() {
        ErrorKind::TimedOut
    } else if error.is_body() || error.is_decode() {
        ErrorKind::Unavailable
    } else {
        ErrorKind::Unreachable
    };
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text.truncate(text.floor_char_boundary(200));
    (kind, text)
}
