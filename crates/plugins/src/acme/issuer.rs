//! How certificates are got and renewed, by one node at a time.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::Account;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Mutex, Semaphore};

use super::certificate::{CertKey, CertificateError};
use super::chains::Chains;
use super::domains::{Domains, is_name};
use super::order::{self, Customer, KeyKind, OrderError};
use super::served::Served;
use super::storage::{Storage, StorageError};
use super::transport::{self, Transport};
use crate::logging::delivery::Delivery;
use crate::names::Names;

/// Keys of the storage; Kong's nodes know certificates, dates and locks by the same.
const CERTIFICATE: &str = "kong_acme:cert_key:";
const RENEWAL: &str = "kong_acme:renew_config:";
const LAST_RUN: &str = "kong_acme:renew_last_run";
const LOCK: &str = "kong_acme:update_lock:";
const FAILURE: &str = "kong_acme:fail_backoff:";

/// How long another node waits for the one that orders, should that one have died.
const LOCKED: Duration = Duration::from_secs(300);

/// Orders at the same time; others wait for their turn.
const AT_ONCE: usize = 4;

/// Names that clients ask for and that are looked for at the same time; others must be asked for
/// again. Clients can ask for any number of names.
const ASKED: usize = 256;

/// How soon after a new configuration it is looked for what is due, and how often from then on.
const FIRST_LOOK: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(3600);

/// Where authorities ask for the answers to challenges.
pub(super) const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// Asked for by whoever wants to know whether challenges reach the node, and what is answered.
pub(super) const PROBE: &str = "x";
pub(super) const ABSENT: &str = "Not found\n";

const DAY: f64 = 86_400.0;

/// Gets certificates.
pub(crate) struct Issuer {
    pub(super) domains: Domains,
    pub(super) customer: Customer,
    pub(super) kind: KeyKind,
    pub(super) storage: Storage,
    pub(super) served: Arc<Served>,
    pub(super) tls: Arc<ClientConfig>,
    names: Names,
    chains: Option<Arc<Chains>>,
    /// Before its end that a certificate is renewed.
    pub(super) threshold: Duration,
    /// After a failure that the authority is left alone for the name.
    pub(super) pause: Duration,
    account: Mutex<Option<Account>>,
    turns: Semaphore,
    /// Names that clients may ask for at the same time.
    pub(super) asked: Arc<Semaphore>,
}

/// What an issuer is made of.
pub(super) struct Settings {
    pub(super) domains: Domains,
    pub(super) customer: Customer,
    pub(super) kind: KeyKind,
    pub(super) storage: Storage,
    pub(super) served: Arc<Served>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) names: Names,
    /// The chain that is preferred.
    pub(super) chains: Option<Arc<Chains>>,
    pub(super) threshold_days: f64,
    pub(super) pause_minutes: f64,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("directory", &self.customer.directory)
            .finish_non_exhaustive()
    }
}

/// When a certificate ends that is to be renewed.
#[derive(Serialize, Deserialize)]
struct Renewal {
    host: String,
    /// Seconds since 1970.
    expire_at: f64,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    #[error(
        "please try again in {0} seconds for host {1} because of previous failure; this is configurable with config.fail_backoff_minutes"
    )]
    Pausing(i64, String),
    #[error("could not create certificate for host: {0} err: {1}")]
    Order(String, String),
    #[error("{0}")]
    Storage(#[from] StorageError),
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    #[error("a certificate is for a host name or an address")]
    Name,
    #[error("what the storage holds cannot be read: {0}")]
    Unread(#[from] serde_json::Error),
    #[error("the node cannot speak HTTP with the authority: {0}")]
    Transport(#[from] reqwest::Error),
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

impl Issuer {
    pub(super) fn new(settings: Settings) -> Result<Arc<Self>, (&'static str, String)> {
        let seconds = |field, seconds: f64| {
            let duration = Duration::try_from_secs_f64(seconds);
            duration.map_err(|problem| (field, problem.to_string()))
        };
        let threshold = seconds("renew_threshold_days", settings.threshold_days * DAY)?;
        let pause = seconds("fail_backoff_minutes", settings.pause_minutes * 60.0)?;
        Ok(Arc::new(Self {
            domains: settings.domains,
            customer: settings.customer,
            kind: settings.kind,
            storage: settings.storage,
            served: settings.served,
            tls: settings.tls,
            names: settings.names,
            chains: settings.chains,
            threshold,
            pause,
            account: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
            asked: Arc::new(Semaphore::new(ASKED)),
        }))
    }

    /// The certificate for a name, from the storage.
    pub(crate) async fn load(&self, name: &str) -> Result<Option<CertKey>, IssueError> {
        let stored = self.storage.get(&format!("{CERTIFICATE}{name}")).await?;
        Ok(stored.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    /// Finds the certificate for a name that a client asks for, or orders it. What goes wrong is
    /// logged.
    pub(super) async fn provide(&self, name: &str) {
        let problem: IssueError = match self.load(name).await {
            Ok(Some(found)) => match found.certified() {
                Ok(key) => return self.served.put(name, key),
                Err(error) => error.into(),
            },
            Ok(None) => {
                self.served.forget(name);
                match self.issue(name, None).await {
                    Ok(_) | Err(IssueError::Pausing(..)) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        tracing::error!(name, "no certificate of acme is served: {problem}");
    }

    /// Orders a certificate, and keeps it; `false` where another node is about to.
    ///
    /// # Errors
    /// When there was a failure not long ago, or is one.
    pub(crate) async fn issue(&self, name: &str, key: Option<String>) -> Result<bool, IssueError> {
        if !is_name(name) {
            return Err(IssueError::Name);
        }
        // Before the lock, which would not last. The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let failure = format!("{FAILURE}{name}");
        if let Some(until) = self.storage.get(&failure).await?
            && let Ok(until) = until.parse::<i64>()
        {
            return Err(IssueError::Pausing(until - now(), name.to_owned()));
        }
        let lock = format!("{LOCK}{name}");
        if !self.storage.add(&lock, "placeholder", LOCKED).await? {
            tracing::info!(name, "a certificate is being ordered already");
            return Ok(false);
        }
        let outcome = self.order_and_keep(name, key).await;
        match &outcome {
            Ok(()) => tracing::info!(name, "a certificate was issued"),
            Err(_) => {
                let seconds = i64::try_from(self.pause.as_secs()).unwrap_or(i64::MAX);
                let until = now().saturating_add(seconds).to_string();
                let pause = Some(self.pause).filter(|pause| !pause.is_zero());
                if pause.is_some() {
                    self.storage.set(&failure, &until, pause).await?;
                }
            }
        }
        self.storage.delete(&lock).await?;
        outcome.map(|()| true)
    }

    async fn order_and_keep(&self, name: &str, key: Option<String>) -> Result<(), IssueError> {
        let mut ordered = self.order(name, key.clone()).await?;
        if matches!(&ordered, Err(error) if error.is_for_want_of_an_account()) {
            self.storage.delete(&self.customer.stored_as).await?;
            ordered = self.order(name, key).await?;
        }
        let issued =
            ordered.map_err(|error| IssueError::Order(name.to_owned(), error.to_string()))?;
        let served = issued.certified()?;
        let renewal = Renewal {
            host: name.to_owned(),
            expire_at: issued.not_after()? as f64,
        };
        let (issued, renewal) = (
            serde_json::to_string(&issued)?,
            serde_json::to_string(&renewal)?,
        );
        let storage = &self.storage;
        storage
            .set(&format!("{CERTIFICATE}{name}"), &issued, None)
            .await?;
        storage
            .set(&format!("{RENEWAL}{name}"), &renewal, None)
            .await?;
        self.served.put(name, served);
        Ok(())
    }

    async fn order(
        &self,
        name: &str,
        key: Option<String>,
    ) -> Result<Result<CertKey, OrderError>, IssueError> {
        let mut known = self.account.lock().await;
        let account = match known.take() {
            Some(account) => account,
            None => {
                let transport = Transport::new(&self.tls, &self.names, self.chains.clone())?;
                match self.customer.account(&self.storage, transport).await {
                    Ok(account) => account,
                    Err(error) => return Ok(Err(error)),
                }
            }
        };
        *known = Some(account.clone());
        drop(known);
        let ordered = order::order(
            &account,
            &self.storage,
            name,
            key,
            self.kind,
            self.chains.as_deref(),
        )
        .await;
        if ordered.is_err() {
            // Should it have been for the account, it is asked for again.
            *self.account.lock().await = None;
        }
        Ok(ordered)
    }

    /// Renews whatever is due. What goes wrong is logged.
    pub(crate) async fn renew(&self) {
        if let Err(error) = self.renew_due().await {
            tracing::error!("certificates of acme are not renewed: {error}");
        }
    }

    async fn renew_due(&self) -> Result<(), IssueError> {
        let renewals = self.storage.list(RENEWAL).await?;
        let run = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S");
        self.storage.set(LAST_RUN, &run.to_string(), None).await?;
        for renewal in renewals {
            if let Err(error) = self.renew_if_due(&renewal).await {
                let name = renewal.strip_prefix(RENEWAL);
                tracing::error!(name, "a certificate of acme is not renewed: {error}");
            }
        }
        Ok(())
    }

    async fn renew_if_due(&self, key: &str) -> Result<(), IssueError> {
        let Some(renewal) = self.storage.get(key).await? else {
            return Ok(());
        };
        let renewal: Renewal = serde_json::from_str(&renewal)?;
        let due = now() as f64 + self.threshold.as_secs_f64();
        if renewal.expire_at > due {
            return Ok(());
        }
        let Some(current) = self.load(&renewal.host).await? else {
            tracing::warn!(name = renewal.host, "there is no certificate to renew");
            return Ok(self.storage.delete(key).await?);
        };
        // Another node may have renewed it.
        if current.not_after()? as f64 > due {
            return Ok(());
        }
        self.issue(&renewal.host, Some(current.key)).await?;
        Ok(())
    }

    /// The names that there are certificates for.
    ///
    /// # Errors
    /// When the storage cannot be asked.
    pub(crate) async fn names(&self) -> Result<Vec<String>, IssueError> {
        let renewals = self.storage.list(RENEWAL).await?;
        let names = renewals.iter().filter_map(|key| key.strip_prefix(RENEWAL));
        Ok(names.map(str::to_owned).collect())
    }

    /// A certificate as the Admin API tells it.
    ///
    /// # Errors
    /// When the storage cannot be asked, or holds something else.
    pub(crate) async fn told(&self, name: &str) -> Result<Option<Value>, IssueError> {
        match self.load(name).await? {
            Some(certificate) => Ok(Some(certificate.told(now())?)),
            None => Ok(None),
        }
    }

    /// Whether a name is one of those that the settings list, and leads to a node with this plugin.
    ///
    /// # Errors
    /// Why it is not known to.
    pub(crate) async fn try_challenge(&self, name: &str) -> Result<(), String> {
        if !self.domains.lists(name) {
            return Err("host is not included in plugin config.domains".to_owned());
        }
        let path = format!("http://{name}{CHALLENGES}");
        let (status, body) =
            transport::get(&self.tls, &self.names, &format!("{path}{PROBE}")).await?;
        if body.contains("no Route matched with those values") {
            return Err(format!(
                "{path}* doesn't map to a Route in Kong; please refer to docs on how to create dummy Route and Service"
            ));
        }
        if body != ABSENT {
            return Err(format!(
                "unexpected response: \"{body}\", unexpected status code: {status}"
            ));
        }
        Ok(())
    }

    /// Looks after renewals for as long as the issuer is used.
    pub(super) fn look_after(self: &Arc<Self>, delivery: &Delivery) {
        let issuer = Arc::downgrade(self);
        if let Err(problem) = delivery.spawn_until_end(renewals(issuer)) {
            tracing::error!("certificates of acme are not renewed: {problem}");
        }
    }
}

async fn renewals(issuer: Weak<Issuer>) {
    tokio::time::sleep(FIRST_LOOK).await;
    // Whoever only looked at the configuration has given it up by now.
    while let Some(issuer) = issuer.upgrade() {
        issuer.renew().await;
        drop(issuer);
        // Nodes that started together need not look together.
        tokio::time::sleep(LOOK.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
    }
}
