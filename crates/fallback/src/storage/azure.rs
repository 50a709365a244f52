//! `azure://account/container/prefix`: Azure Blob Storage.
//!
//! Writes compare the entity tag of a blob, which is new with every write.

mod credentials;
mod delete;
mod entra;
mod managed_identity;

use std::sync::Arc;

use object_store::azure::{AzureConfigKey, AzureCredential, MicrosoftAzureBuilder};
use object_store::client::HttpConnector;
use object_store::{Attribute, Attributes};
use url::Url;

use self::credentials::Credentials;
use self::delete::PlainDeletes;
use super::object::{Compared, Connector, ObjectStorage, client_options, no_retries, prefix};
use super::place::Place;
use super::token::Tokens;
use super::{ErrorKind, StorageError, StorageSettings, endpoint, web};
use crate::Location;

/// Names another blob endpoint than the public cloud's; `{account}` in it stands for the account.
/// Plain `http` is spoken only to an endpoint that is written so.
const ENDPOINT: &str = "AZURE_CONFIG_STORAGE_ENDPOINT";

const PUBLIC_CLOUD: &str = "https://{account}.blob.core.windows.net";

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
    let plain_http = endpoint.scheme() == "http";
    let client = client_options(&place, settings, plain_http)?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned())
        .with_http_connector(Connector)
        .with_retry(no_retries(settings))
        .with_client_options(client.clone());
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
    let http = Connector.connect(&client);
    let deletes = PlainDeletes {
        http: http.map_err(|error| place.invalid(error))?,
        credentials: Arc::clone(store.credentials()),
        endpoint,
        account: account.to_owned(),
        container: container.to_owned(),
    };
    let store = Arc::new(store);
    Ok(ObjectStorage {
        prefix: prefix(&place, below)?,
        attributes: Attributes::from_iter([
            (Attribute::ContentType, "application/json"),
            (Attribute::CacheControl, "no-cache"),
        ]),
        compared: Compared::ETag,
        deleter: Some(Box::new(deletes)),
        reader: store.clone(),
        writer: store,
        place,
    })
}

/// The address of the account's blobs.
fn blob_endpoint(
    place: &Place,
    account: &str,
    settings: &StorageSettings,
) -> Result<Url, StorageError> {
    let text = settings.environment.get(ENDPOINT).unwrap_or(PUBLIC_CLOUD);
    let text = text.replace("{account}", account);
    endpoint::read(&text, ENDPOINT, "AZURE_STORAGE_KEY or AZURE_CLIENT_*")
        .map_err(|wrong| place.invalid(wrong))
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
