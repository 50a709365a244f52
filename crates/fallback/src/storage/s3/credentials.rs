//! The credentials of an S3 storage, renewed before they end.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AwsCredential, AwsCredentialProvider};

use super::origin;
use super::profile::{self, Profiles};
use super::temporary::Source;
use super::{domain, first_endpoint};
use crate::storage::place::Place;
use crate::storage::token::Tokens;
use crate::storage::{StorageError, StorageSettings, web};

/// The endpoints of containers and instances are on the same machine: where they are not quick,
/// they are not there.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(2);

/// Name another token service than that of the region.
const TOKEN_SERVICES: [&str; 2] = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"];

/// Where requests go and what they are signed with.
pub(super) struct Access {
    pub(super) region: String,
    pub(super) provider: AwsCredentialProvider,
}

/// Finds credentials; nobody is asked yet.
pub(super) fn access(place: &Place, settings: &StorageSettings) -> Result<Access, StorageError> {
    let environment = &settings.environment;
    let profiles = Profiles::read(environment).map_err(|wrong| place.invalid(wrong))?;
    let (profile, _) = profile::chosen(environment);
    let region = ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .find_map(|variable| environment.get(variable))
        .or_else(|| Some(profiles.get(profile)?.get("region")?.as_str()))
        .unwrap_or("us-east-1")
        .to_owned();
    // It becomes part of the name of a host.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !region.bytes().all(plain) {
        return Err(place.invalid("AWS_REGION is no name of a region: write one such as eu-west-1"));
    }
    let origin = origin::choose(environment, &profiles).map_err(|wrong| place.invalid(wrong))?;
    let token_service = match first_endpoint(place, settings, TOKEN_SERVICES)? {
        Some(url) => url,
        None => format!("https://sts.{region}.{}/", domain(&region))
            .parse()
            .map_err(|error| place.invalid(error))?,
    };
    let web = web::client(place, settings)?;
    let local = web::client(place, settings)?
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(ANSWER);
    let built = |client: Result<_, reqwest::Error>| client.map_err(|error| place.invalid(error));
    let source = Source {
        nothing: origin::nothing(environment),
        origin,
        web: built(web.build())?,
        local: built(local.build())?,
        token_service,
        region: region.clone(),
    };
    let provider: Tokens<AwsCredential, AwsCredential> = Tokens::new(
        Box::new(source),
        |credential| credential,
        settings.time_outs.operation / 2,
    );
    Ok(Access {
        region,
        provider: Arc::new(provider),
    })
}
