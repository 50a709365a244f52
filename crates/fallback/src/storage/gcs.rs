//! `gcs://bucket/prefix`: Google Cloud Storage.
//!
//! Writes compare the generation of an object, which grows with every write and never returns.

mod credentials;
mod federation;
mod metadata;

use std::sync::Arc;

use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::{Attribute, Attributes, StaticCredentialProvider};

use self::credentials::Credentials;
use super::endpoint::endpoint;
use super::object::{Compared, Connector, ObjectStorage, client_options, no_retries, prefix};
use super::place::Place;
use super::token::Tokens;
use super::{ErrorKind, StorageError, StorageSettings, web};
use crate::Location;

/// Names another endpoint than Google's, such as one of Private Service Connect; plain `http` is
/// spoken only to an endpoint that is written so.
const ENDPOINT: &str = "GCP_CONFIG_STORAGE_ENDPOINT";
const GOOGLE: &str = "https://storage.googleapis.com";

/// Opens a bucket.
pub(super) fn open(
    location: &Location,
    bucket: &str,
    below: &str,
    settings: &StorageSettings,
) -> Result<ObjectStorage, StorageError> {
    let place = Place {
        location: location.to_string(),
        time_out: settings.time_outs.operation,
        mend,
    };
    let endpoint = endpoint(
        &place,
        settings,
        ENDPOINT,
        "GCP_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS",
    )?;
    let plain_http = endpoint.as_ref().is_some_and(|url| url.scheme() == "http");
    let base = endpoint.as_ref().map_or(GOOGLE, |url| url.as_str());
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_base_url(base.trim_end_matches('/'))
        .with_http_connector(Connector)
        .with_retry(no_retries(settings))
        .with_client_options(client_options(&place, settings, plain_http)?);
    let web = web::client(&place, settings)?;
    let found = credentials::find(&settings.environment, web);
    let builder = match found.map_err(|wrong| place.invalid(wrong))? {
        Credentials::ServiceAccount(key) => builder.with_service_account_key(key),
        Credentials::Token(bearer) => {
            builder.with_credentials(Arc::new(StaticCredentialProvider::new(GcpCredential {
                bearer,
            })))
        }
        Credentials::Fetched(source) => builder.with_credentials(Arc::new(Tokens::new(
            source,
            |bearer| GcpCredential { bearer },
            settings.time_outs.operation / 2,
        ))),
    };
    // All else is given: only a key can be wrong.
    let store = builder.build().map_err(|_| {
        place.invalid("the `private_key` of the service account is no RSA key in PEM: copy the credential again")
    })?;
    let store = Arc::new(store);
    Ok(ObjectStorage {
        prefix: prefix(&place, below)?,
        attributes: Attributes::from_iter([
            (Attribute::ContentType, "application/json"),
            (Attribute::CacheControl, "no-cache"),
        ]),
        compared: Compared::Generation,
        deleter: None,
        reader: store.clone(),
        writer: store,
        place,
    })
}

fn mend(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Denied => Some(
            "check the credentials (GCP_SERVICE_ACCOUNT, GOOGLE_APPLICATION_CREDENTIALS, or the service account of the machine or pod) and that their account may do this with the objects of the bucket (roles/storage.objectViewer to read, roles/storage.objectUser to write)",
        ),
        ErrorKind::Unreachable => {
            Some("check the network, and GCP_CONFIG_STORAGE_ENDPOINT if it is set")
        }
        ErrorKind::NoContainer => {
            Some("create the bucket, or correct cluster_fallback_config_storage")
        }
        kind => kind.mend(),
    }
}
