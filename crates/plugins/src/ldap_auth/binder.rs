//! Asking an LDAP server whether a name and a password are right: by binding as that name.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, StdStream, dn_escape};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::names::Names;

/// Questions to one server at the same time; others wait for their turn.
const AT_ONCE: usize = 64;

/// Codes of results: the password is wrong, or there is no such name.
const NO_SUCH_OBJECT: u32 = 32;
const INVALID_NAME: u32 = 34;
const INVALID_CREDENTIALS: u32 = 49;

/// How a server is asked.
pub(super) struct Binder {
    url: String,
    host: String,
    port: u16,
    names: Names,
    start_tls: bool,
    tls: Arc<ClientConfig>,
    attribute: String,
    base: String,
    patience: Duration,
    keep: Duration,
    turns: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

/// A connection that nobody uses. It belongs to the thread that made it.
struct Idle {
    thread: ThreadId,
    since: Instant,
    ldap: Ldap,
}

/// What the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Right,
    Wrong,
    /// It refuses for another reason, which may pass.
    Refused,
}

/// Why a server gives no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("{0}")]
    Ldap(#[from] LdapError),
    #[error("no answer within {0:?}")]
    Late(Duration),
}

/// What a binder is made of.
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) names: Names,
    pub(super) ldaps: bool,
    pub(super) start_tls: bool,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) attribute: String,
    pub(super) base: String,
    pub(super) patience: Duration,
    pub(super) keep: Duration,
}

impl Binder {
    pub(super) fn new(settings: Settings) -> Self {
        let scheme = if settings.ldaps { "ldaps" } else { "ldap" };
        let host = settings.host.trim_matches(['[', ']']);
        let shown = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        Self {
            url: format!("{scheme}://{shown}:{}", settings.port),
            host: host.to_owned(),
            port: settings.port,
            names: settings.names,
            start_tls: settings.start_tls,
            tls: settings.tls,
            attribute: settings.attribute,
            base: settings.base,
            patience: settings.patience,
            keep: settings.keep,
            turns: Semaphore::new(AT_ONCE),
            idle: Mutex::default(),
        }
    }

    /// For people.
    pub(super) fn server(&self) -> &str {
        &self.url
    }

    /// The name as the server knows it. Whatever a client sends stays within the one attribute.
    pub(super) fn name(&self, username: &str) -> String {
        let (attribute, base) = (&self.attribute, &self.base);
        format!("{attribute}={},{base}", dn_escape(username))
    }

    /// Asks. An empty password would be taken for none and be right for every name: callers have
    /// none.
    pub(super) async fn ask(&self, username: &str, password: &str) -> Result<Answer, Unanswered> {
        let asked = timeout(self.patience, async {
            // The semaphore is never closed.
            let _turn = self.turns.acquire().await;
            let name = self.name(username);
            if let Some(ldap) = self.take_idle()
                && let Ok(answer) = self.bind(ldap, &name, password).await
            {
                return Ok(answer);
            }
            // There was none, or the server has closed it meanwhile.
            self.bind(self.connect().await?, &name, password).await
        });
        asked.await.unwrap_or(Err(Unanswered::Late(self.patience)))
    }

    async fn bind(&self, mut ldap: Ldap, name: &str, password: &str) -> Result<Answer, Unanswered> {
        let result = ldap.simple_bind(name, password).await?;
        self.keep(ldap);
        Ok(match result.rc {
            0 => Answer::Right,
            NO_SUCH_OBJECT | INVALID_NAME | INVALID_CREDENTIALS => Answer::Wrong,
            code => {
                tracing::error!(server = self.url, code, "the LDAP server refuses to judge");
                Answer::Refused
            }
        })
    }

    async fn connect(&self) -> Result<Ldap, Unanswered> {
        let stream = self.names.connect(&self.host, self.port).await;
        let stream = stream.and_then(TcpStream::into_std);
        let stream = stream.map_err(LdapError::from)?;
        let settings = LdapConnSettings::new()
            .set_std_stream(StdStream::Tcp(stream))
            .set_config(Arc::clone(&self.tls))
            .set_starttls(self.start_tls);
        let (connection, ldap) = LdapConnAsync::with_settings(settings, &self.url).await?;
        // It ends with the last handle.
        tokio::spawn(connection.drive());
        Ok(ldap)
    }

    /// Nothing is left half done under the lock, so that a panic elsewhere does not matter.
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<Ldap> {
        let mut idle = self.idle();
        idle.retain(|idle| idle.since.elapsed() < self.keep);
        let thread = thread::current().id();
        let mine = idle.iter().rposition(|idle| idle.thread == thread)?;
        Some(idle.swap_remove(mine).ldap)
    }

    fn keep(&self, ldap: Ldap) {
        let mut idle = self.idle();
        idle.retain(|idle| idle.since.elapsed() < self.keep);
        if idle.len() < AT_ONCE {
            idle.push(Idle {
                thread: thread::current().id(),
                since: Instant::now(),
                ldap,
            });
        }
    }
}
