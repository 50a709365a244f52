//! The conversation with the authority: an account, and an order for one name.

use std::net::IpAddr;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
    RsaKeySize,
};

use super::certificate::CertKey;
use super::chains::Chains;
use super::storage::{Storage, StorageError};
use super::transport::Transport;

/// How long the authority may take to look at the challenge, and to make the certificate.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long the answer to a challenge is kept.
const CHALLENGE: Duration = Duration::from_secs(3600);

/// The kind of key that a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa2048,
    Rsa3072,
    Rsa4096,
    Ecdsa,
}

/// Who orders.
pub(super) struct Customer {
    pub(super) email: String,
    pub(super) accepts_terms: bool,
    /// Id and key of another account.
    pub(super) bound_to: Option<(String, Vec<u8>)>,
    pub(super) directory: String,
    /// What the storage calls the account.
    pub(super) stored_as: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error("the authority refuses, or cannot be reached: {0}")]
    Authority(#[from] Error),
    #[error("{0}")]
    Storage(#[from] StorageError),
    #[error("the account in the storage cannot be read: {0}")]
    Account(#[from] serde_json::Error),
    #[error("the authority offers no http-01 challenge")]
    NoChallenge,
    #[error("the authority could not verify the name")]
    Invalid,
    #[error("no key or request can be made: {0}")]
    Key(#[from] rcgen::Error),
    #[error("no key can be made: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl OrderError {
    /// Whether the authority knows the account no longer.
    pub(super) fn is_for_want_of_an_account(&self) -> bool {
        match self {
            Self::Authority(Error::Api(problem)) => problem
                .r#type
                .as_deref()
                .is_some_and(|kind| kind.ends_with(":accountDoesNotExist")),
            _ => false,
        }
    }
}

/// What the storage calls the answer to a challenge.
pub(super) fn challenge_key(token: &str) -> String {
    format!("{token}#http-01")
}

impl Customer {
    /// The account: that of the storage, or a new one.
    pub(super) async fn account(
        &self,
        storage: &Storage,
        transport: Transport,
    ) -> Result<Account, OrderError> {
        let builder = Account::builder_with_http(Box::new(transport));
        if let Some(stored) = storage.get(&self.stored_as).await? {
            let credentials: AccountCredentials = serde_json::from_str(&stored)?;
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact = format!("mailto:{}", self.email);
        let new = NewAccount {
            contact: &[&contact],
            terms_of_service_agreed: self.accepts_terms,
            only_return_existing: false,
        };
        let bound_to = self.bound_to.as_ref();
        let bound_to = bound_to.map(|(id, key)| ExternalAccountKey::new(id.clone(), key));
        let (account, credentials) = builder
            .create(&new, self.directory.clone(), bound_to.as_ref())
            .await?;
        let credentials = serde_json::to_string(&credentials)?;
        storage.set(&self.stored_as, &credentials, None).await?;
        Ok(account)
    }
}

/// Orders a certificate for a name. The key is the one given (in PEM), or a new one.
pub(super) async fn order(
    account: &Account,
    storage: &Storage,
    name: &str,
    key: Option<String>,
    kind: KeyKind,
    chains: Option<&Chains>,
) -> Result<CertKey, OrderError> {
    let identifier = match name.parse::<IpAddr>() {
        Ok(address) => Identifier::Ip(address),
        Err(_) => Identifier::Dns(name.to_owned()),
    };
    let mut order = account.new_order(&NewOrder::new(&[identifier])).await?;
    let mut challenges = Vec::new();
    let proven = prove(&mut order, storage, &mut challenges).await;
    for challenge in challenges {
        // It goes by itself after a while.
        let _ = storage.delete(&challenge).await;
    }
    proven?;
    let subject = name.to_owned();
    // Making an RSA key takes seconds.
    let made = tokio::task::spawn_blocking(move || request(&subject, key.as_deref(), kind));
    let (request, key) = made.await??;
    order.finalize_csr(&request).await?;
    let mut cert = order.poll_certificate(&policy()).await?;
    if let Some(chains) = chains {
        let url = order.state().certificate.clone();
        cert = chains.choose(account, url.as_deref(), cert).await;
    }
    Ok(CertKey { key, cert })
}

fn policy() -> RetryPolicy {
    RetryPolicy::new().timeout(PATIENCE)
}

/// Shows the authority that the name leads here.
async fn prove(
    order: &mut Order,
    storage: &Storage,
    challenges: &mut Vec<String>,
) -> Result<(), OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            _ => return Err(OrderError::Invalid),
        }
        let challenge = authorization.challenge(ChallengeType::Http01);
        let mut challenge = challenge.ok_or(OrderError::NoChallenge)?;
        let key = challenge_key(&challenge.token);
        let answer = challenge.key_authorization();
        storage.set(&key, answer.as_str(), Some(CHALLENGE)).await?;
        challenges.push(key);
        challenge.set_ready().await?;
    }
    match order.poll_ready(&policy()).await? {
        OrderStatus::Ready | OrderStatus::Valid => Ok(()),
        _ => Err(OrderError::Invalid),
    }
}

/// A request for a certificate, and the key in PEM.
fn request(
    name: &str,
    key: Option<&str>,
    kind: KeyKind,
) -> Result<(Vec<u8>, String), rcgen::Error> {
    let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size);
    let key = match (key, kind) {
        (Some(key), _) => KeyPair::from_pem(key)?,
        (None, KeyKind::Ecdsa) => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        (None, KeyKind::Rsa2048) => rsa(RsaKeySize::_2048)?,
        (None, KeyKind::Rsa3072) => rsa(RsaKeySize::_3072)?,
        (None, KeyKind::Rsa4096) => rsa(RsaKeySize::_4096)?,
    };
    let mut parameters = CertificateParams::new(vec![name.to_owned()])?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    let request = parameters.serialize_request(&key)?;
    Ok((request.der().to_vec(), key.serialize_pem()))
}
