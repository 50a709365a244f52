//! `s3://bucket/prefix`: Amazon S3 and stores that speak its protocol.

mod credentials;
mod origin;
mod profile;
mod temporary;

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::{Attribute, Attributes};

use self::credentials::Access;
use super::endpoint::endpoint;
use super::object::{Compared, Connector, ObjectStorage, client_options, no_retries, prefix};
use super::place::Place;
use super::{ErrorKind, S3PutOptions, StorageError, StorageSettings};

/// Names another endpoint than Amazon's, addressed by path (`http://host:9000/`); plain `http` is
/// spoken only to an endpoint that is written so.
const ENDPOINT: &str = "AWS_CONFIG_STORAGE_ENDPOINT";

/// Opens a bucket.
pub(super) fn open(
    bucket: &str,
    below: &str,
    settings: &StorageSettings,
) -> Result<ObjectStorage, StorageError> {
    let place = Place {
        location: match below {
            "" => format!("s3://{bucket}"),
            below => format!("s3://{bucket}/{below}"),
        },
        time_out: settings.time_outs.operation,
        mend,
    };
    let endpoint = endpoint(
        &place,
        settings,
        ENDPOINT,
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )?;
    let plain_http = endpoint.as_ref().is_some_and(|url| url.scheme() == "http");
    let Access { region, provider } = credentials::access(&place, settings)?;
    let mut builder = AmazonS3Builder::new()
        .with_region(region)
        .with_credentials(provider);
    if let Some(url) = endpoint {
        builder = builder
            .with_endpoint(url.as_str().trim_end_matches('/'))
            .with_virtual_hosted_style_request(false);
    }
    let options = &settings.put_options;
    builder = builder
        .with_bucket_name(bucket)
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
