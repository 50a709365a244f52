//! How the clients of the vendors connect.

use object_store::RetryConfig;
use object_store::client::{Certificate, ClientOptions};

use crate::storage::place::Place;
use crate::storage::{StorageError, StorageSettings, web};

/// The options of a client; plain `http` only to an endpoint that is written so.
pub(in crate::storage) fn client_options(
    place: &Place,
    settings: &StorageSettings,
    plain_http: bool,
) -> Result<ClientOptions, StorageError> {
    let mut options = ClientOptions::new()
        .with_allow_http(plain_http)
        .with_connect_timeout(settings.time_outs.connect)
        .with_timeout(settings.time_outs.operation);
    web::trusted(settings).map_err(|wrong| place.invalid(wrong))?;
    for pem in &settings.trusted_certificates {
        let certificates = Certificate::from_pem_bundle(pem.as_bytes());
        for certificate in certificates.map_err(|error| place.invalid(error))? {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

/// Retrying belongs to the callers: they know deadlines, supersede what waits, and read back what a
/// repeated conditional write would answer wrongly.
pub(in crate::storage) fn no_retries(settings: &StorageSettings) -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        retry_timeout: settings.time_outs.operation,
        ..RetryConfig::default()
    }
}
