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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_over_tls_or_stay_on_this_machine() {
        for (url, keeps) in [
            ("https://token.example/", true),
            ("http://127.0.0.1:8080/token", true),
            ("http://[::1]/token", true),
            ("http://localhost/token", true),
            ("http://token.example/", false),
            ("http://localhost.example/", false),
            ("http://10.0.0.1/", false),
            ("ftp://127.0.0.1/", false),
        ] {
            assert_eq!(keeps_secrets(&Url::parse(url).unwrap()), keeps, "{url}");
        }
    }

    #[test]
    fn an_endpoint_is_a_web_address_without_credentials() {
        assert!(read("https://host:9000/path", "V", "C").is_ok());
        for (text, said) in [
            ("host:9000", "V is not an http:// or https:// URL"),
            ("ftp://host/", "V is not an http:// or https:// URL"),
            ("https://user:hunter2@host/", "give them in C"),
            ("https://host/?sig=hunter2", "give them in C"),
        ] {
            let wrong = read(text, "V", "C").unwrap_err();
            assert!(
                wrong.contains(said) && !wrong.contains("hunter2"),
                "{wrong}"
            );
        }
    }
}
