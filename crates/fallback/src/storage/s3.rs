//! `s3://bucket/prefix`: Amazon S3 and stores that speak its protocol.

mod credentials;
mod origin;
mod profile;
mod temporary;

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::{Attribute, Attributes};
use url::Url;

use self::credentials::Access;
use super::endpoint::endpoint;
use super::object::{Compared, Connector, ObjectStorage, client_options, no_retries, prefix};
use super::place::Place;
use super::{ErrorKind, S3PutOptions, StorageError, StorageSettings};
use crate::Location;

/// Name another endpoint than Amazon's, addressed by path (`http://host:9000/`); plain `http` is
/// spoken only to an endpoint that is written so. The gateway's own variable comes before those of
/// AWS's tools.
const ENDPOINTS: [&str; 3] = [
    "AWS_CONFIG_STORAGE_ENDPOINT",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
];

/// Where credentials belong, for messages.
const KEYS: &str = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

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
    let endpoint = first_endpoint(&place, settings, ENDPOINTS)?;
    let plain_http = endpoint.as_ref().is_some_and(|url| url.scheme() == "http");
    let Access { region, provider } = credentials::access(&place, settings)?;
    let builder = AmazonS3Builder::new().with_credentials(provider);
    let mut builder = match &endpoint {
        Some(url) => builder.with_endpoint(url.as_str()),
        None => builder.with_endpoint(format!("https://s3.{region}.{}", domain(&region))),
    };
    let options = &settings.put_options;
    builder = builder
        .with_region(region)
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(false)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // Deleting many in one request is not known to every store that speaks this protocol.
        .with_disable_bulk_delete(true)
        .with_request_payer(options.requester_pays)
        .with_http_connector(Connector)
        .with_retry(no_retries(settings));
    if let Some(checksum) = options.checksum {
        builder = builder.with_checksum_algorithm(checksum);
    }
    if let Some(key) = &options.customer_key {
        builder = builder.with_ssec_encryption(key);
    }
    let client = client_options(&place, settings, plain_http)?;
    let build = |client| {
        let store = builder.clone().with_client_options(client).build();
        store.map_err(|error| place.invalid(error))
    };
    let reader = Arc::new(build(client.clone())?);
    // The headers of a client belong to every request and are signed with it. Writes have a client
    // of their own, since S3 refuses most of their headers with other requests.
    let writer = match options.headers.is_empty() {
        true => reader.clone(),
        false => Arc::new(build(client.with_default_headers(options.headers.clone()))?),
    };
    Ok(ObjectStorage {
        prefix: prefix(&place, below)?,
        attributes: attributes(options),
        compared: Compared::ETag,
        deleter: None,
        reader,
        writer,
        place,
    })
}

/// Reads the first of some variables that is set.
fn first_endpoint<const N: usize>(
    place: &Place,
    settings: &StorageSettings,
    variables: [&str; N],
) -> Result<Option<Url>, StorageError> {
    let set = variables
        .into_iter()
        .find(|variable| settings.environment.get(variable).is_some());
    set.map_or(Ok(None), |variable| {
        endpoint(place, settings, variable, KEYS)
    })
}

/// The name below which the services of a region are.
fn domain(region: &str) -> &'static str {
    match region.starts_with("cn-") {
        true => "amazonaws.com.cn",
        false => "amazonaws.com",
    }
}

/// What every object is given unless the put options say otherwise.
fn attributes(options: &S3PutOptions) -> Attributes {
    [
        ("content-type", Attribute::ContentType, "application/json"),
        ("cache-control", Attribute::CacheControl, "no-cache"),
    ]
    .into_iter()
    .filter(|(header, ..)| !options.headers.contains_key(*header))
    .map(|(_, attribute, value)| (attribute, value))
    .collect()
}

fn mend(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Denied => Some(
            "check the credentials (AWS_* environment, profile or role) and that they allow this on this key: s3:GetObject to read, s3:PutObject to write, s3:DeleteObject to prune, s3:ListBucket on the bucket to list (without it S3 also denies what is absent)",
        ),
        ErrorKind::Unreachable => Some(
            "check the network, the region (AWS_REGION), and AWS_CONFIG_STORAGE_ENDPOINT if it is set",
        ),
        ErrorKind::NoContainer => {
            Some("create the bucket, or correct cluster_fallback_config_storage")
        }
        kind => kind.mend(),
    }
}
