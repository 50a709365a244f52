//! Which credentials a container of Azure is opened with.

use reqwest::{Client, ClientBuilder};

use super::entra::{Application, Proof};
use super::managed_identity::ManagedIdentity;
use crate::storage::Environment;
use crate::storage::token::TokenSource;

/// What requests are made with.
pub(super) enum Credentials {
    /// A key of the storage account: requests are signed with it.
    AccountKey(String),
    /// A shared access signature: a query that is added to requests.
    SharedAccess(String),
    /// Tokens of Entra ID.
    Fetched(Box<dyn TokenSource>),
}

const KEYS: [&str; 3] = [
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
];
const SIGNATURES: [&str; 2] = ["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"];

/// Takes the most particular credentials that are set; where none are, the identity that the
/// machine or pod was given. The text of a failure names variables, never their values.
pub(super) fn find(environment: &Environment, web: ClientBuilder) -> Result<Credentials, String> {
    let first = |names: &[&str]| names.iter().find_map(|name| environment.get(name));
    if let Some(key) = first(&KEYS) {
        return Ok(Credentials::AccountKey(key.to_owned()));
    }
    if let Some(signature) = first(&SIGNATURES) {
        let signature = signature.trim_start_matches('?').to_owned();
        return Ok(Credentials::SharedAccess(signature));
    }
    let proof = if let Some(secret) = environment.get("AZURE_CLIENT_SECRET") {
        Some(Proof::Secret(secret.to_owned()))
    } else {
        let file = environment.get("AZURE_FEDERATED_TOKEN_FILE");
        file.map(|path| Proof::FederatedToken(path.into()))
    };
    let Some(proof) = proof else {
        let identity = ManagedIdentity::new(environment, web)?;
        return Ok(Credentials::Fetched(Box::new(identity)));
    };
    let needed = |name: &str| {
        let value = environment.get(name).map(str::to_owned);
        value.ok_or_else(|| {
            format!(
                "{} is set without {name}: set both, or neither",
                proof.variable()
            )
        })
    };
    let (tenant, client) = (needed("AZURE_TENANT_ID")?, needed("AZURE_CLIENT_ID")?);
    let web: Client = web.build().map_err(|error| error.to_string())?;
    let application = Application::new(environment, web, &tenant, client, proof)?;
    Ok(Credentials::Fetched(Box::new(application)))
}
