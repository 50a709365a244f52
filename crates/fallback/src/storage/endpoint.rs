//! Endpoints that are set in place of a vendor's own.

use url::{Host, Url};

use super::place::Place;
use super::{StorageError, StorageSettings};

/// Reads the endpoint in `variable`, if it is set. Plain `http` is spoken only to an endpoint that
/// is written so. `credentials` says where credentials belong.
pub(super) fn endpoint(
    place: &Place,
    settings: &StorageSettings,
    variable: &str,
    credentials: &str,
) -> Result<Option<Url>, StorageError> {
    let Some(text) = settings.environment.get(variable) else {
        return Ok(None);
    };
    read(text, variable, credentials)
        .map(Some)
        .map_err(|wrong| place.invalid(wrong))
}

/// Reads one endpoint.
pub(super) fn read(text: &str, variable: &str, credentials: &str) -> Result<Url, String> {
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            format!("{variable} is not an http:// or https:// URL: write it as https://host:port/")
        })?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(format!(
            "{variable} must not hold credentials: give them in {credentials}"
        ));
    }
    Ok(url)
}

/// Whether secrets may be sent there: over TLS, or to this machine itself.
pub(super) fn keeps_secrets(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_local)
}
