//! `azure://account/container/prefix`: Azure Blob Storage.
//!
//! Writes compare the entity tag of a blob, which is new with every write.

mod credentials;
mod entra;
mod managed_identity;

use std::sync::Arc;

use object_store::azure::{AzureConfigKey, AzureCredential, MicrosoftAzureBuilder};
use object_store::{Attribute, Attributes};
use url::Url;

use self::credentials::Credentials;
use super::endpoint::endpoint;
use super::object::{Compared, Connector, ObjectStorage, client_options, no_retries, prefix};
use super::place::Place;
use super::token::Tokens;
use super::{ErrorKind, StorageError, StorageSettings, web};
use crate::Location;

/// Names another blob endpoint than the public cloud's; `{account}` in it stands for the account.
/// Plain `http` is spoken only to an endpoint that is written so.
const ENDPOINT: &str = "AZURE_CONFIG_STORAGE_ENDPOINT";

/// Opens a container.
pub(super) fn open(
    location: &Location,
    (account, container, below): (&str, &str, &str),
    settings: &StorageSettings,
) -> Result<ObjectStorage, StorageError> {
    let place = Place {
        location: location.to_string(),
        time_out: settings.time_outs.operation,
        mend,
    };
    let endpoint = blob_endpoint(&place, account, settings)?;
    let plain_http = endpoint.as_ref().is_some_and(|url| url.scheme() == "http");
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_http_connector(Connector)
        .with_retry(no_retries(settings))
        .with_client_options(client_options(&place, settings, plain_http)?);
    if let Some(url) = endpoint {
        builder = builder.with_endpoint(url.as_str().trim_end_matches('/').to_owned());
    }
    let web = web::client(&place, settings)?;
    let found = credentials::find(&settings.environment, web);
    builder = match found.map_err(|wrong| place.invalid(wrong))? {
        Credentials::AccountKey(key) => builder.with_access_key(key),
        Credentials::SharedAccess(signature) => {
            builder.with_config(AzureConfigKey::SasKey, signature)
        }
        Credentials::Fetched(source) => builder.with_credentials(Arc::new(Tokens::new(
            source,
            AzureCredential::BearerToken,
            settings.time_outs.operation / 2,
        ))),
    };
    // What the builder says of a key or signature may repeat it.
    let store = builder.build().map_err(|_| {
        place.invalid(
            "the account key or the shared access signature in AZURE_STORAGE_* is not whole: copy it again",
        )
    })?;
    let store = Arc::new(store);
    Ok(ObjectStorage {
        prefix: prefix(&place, below)?,
        attributes: Attributes::from_iter([
            (Attribute::ContentType, "application/json"),
            (Attribute::CacheControl, "no-cache"),
        ]),
        compared: Compared::ETag,
        reader: store.clone(),
        writer: store,
        place,
    })
}

/// Reads the endpoint, if one is set.
fn blob_endpoint(
    place: &Place,
    account: &str,
    settings: &StorageSettings,
) -> Result<Option<Url>, StorageError> {
    let url = endpoint(
        place,
        settings,
        ENDPOINT,
        "AZURE_STORAGE_KEY or AZURE_CLIENT_*",
    )?;
    let Some(url) = url else {
        return Ok(None);
    };
    // Braces are encoded in paths and kept in hosts.
    let text = url.as_str().replace("%7Baccount%7D", "{account}");
    let text = text.replace("{account}", account);
    Url::parse(&text)
        .map(Some)
        .map_err(|_| place.invalid(format_args!("{ENDPOINT} is no URL")))
}

fn mend(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Denied => Some(
            "check the credentials (AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, AZURE_CLIENT_*, or the managed identity) and that they may do this with the blobs of the container (Storage Blob Data Reader to read, Storage Blob Data Contributor to write)",
        ),
        ErrorKind::Unreachable => Some(
            "check the network, the name of the storage account, and AZURE_CONFIG_STORAGE_ENDPOINT if it is set",
        ),
        ErrorKind::NoContainer => {
            Some("create the container, or correct cluster_fallback_config_storage")
        }
        kind => kind.mend(),
    }
}
