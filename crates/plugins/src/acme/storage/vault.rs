//! The second version of the key-value store of Vault, mounted as `secret`, where Kong's nodes find certificates as
//! well.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::web::{self, Answered, Web, WebError};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");

/// What the store calls values that it is given by us; Kong's nodes leave the same beside theirs.
const NOTE: &str = "managed by lua-resty-acme";

/// The least time that the store keeps something for.
const LEAST: Duration = Duration::from_secs(1);

/// A part of the store.
#[derive(Clone)]
pub(crate) struct Vault {
    web: Web,
    access: Access,
    data: String,
    metadata: String,
}

/// How the store is entered.
#[derive(Clone)]
pub(crate) enum Access {
    /// By a token; without one, what anybody may do is done.
    Token(Option<HeaderValue>),
    /// By logging in as what runs in a cluster of Kubernetes.
    Kubernetes(Arc<Kubernetes>),
}

/// A login that the store checks with a cluster of Kubernetes.
pub(crate) struct Kubernetes {
    /// Where the store has this kind of login.
    path: String,
    role: String,
    /// The file that says who this is.
    jwt: PathBuf,
    /// The token of the last login.
    token: Mutex<Option<HeaderValue>>,
}

#[derive(Deserialize)]
struct Login {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
}

/// What the store tells of a key; the data are absent once their time is over.
#[derive(Deserialize)]
struct Read {
    data: Option<Versioned>,
}

#[derive(Deserialize)]
struct Versioned {
    data: Option<Value>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

#[derive(Deserialize)]
struct Listed {
    data: Keys,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

impl Access {
    /// # Errors
    /// Why the token cannot be one.
    pub(crate) fn token(token: Option<&str>) -> Result<Self, String> {
        token.map(web::secret).transpose().map(Self::Token)
    }

    pub(crate) fn kubernetes(path: Option<&str>, role: Option<&str>, jwt: Option<&str>) -> Self {
        let jwt = jwt.unwrap_or("/var/run/secrets/kubernetes.io/serviceaccount/token");
        Self::Kubernetes(Arc::new(Kubernetes {
            path: format!("v1/auth/{}login", web::below(path.unwrap_or("kubernetes"))),
            role: role.unwrap_or_default().to_owned(),
            jwt: jwt.into(),
            token: Mutex::default(),
        }))
    }
}

impl Kubernetes {
    fn known(&self) -> std::sync::MutexGuard<'_, Option<HeaderValue>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn log_in(&self, web: &Web) -> Result<HeaderValue, VaultError> {
        let jwt = tokio::fs::read_to_string(&self.jwt).await;
        let jwt = jwt.map_err(|problem| VaultError::Jwt(self.jwt.clone(), problem))?;
        let asked = json!({"role": self.role, "jwt": jwt.trim()});
        let answer = web
            .ask(
                Method::POST,
                &self.path,
                HeaderMap::new(),
                asked.to_string(),
            )
            .await?;
        let login: Login = serde_json::from_slice(&answer.body).map_err(|_| VaultError::Login)?;
        let token = web::secret(&login.auth.client_token).map_err(|_| VaultError::Login)?;
        *self.known() = Some(token.clone());
        Ok(token)
    }
}

/// Why the store keeps or finds nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    #[error("{0}")]
    Web(#[from] WebError),
    #[error("the file {0} that says who this node is cannot be read: {1}")]
    Jwt(PathBuf, std::io::Error),
    #[error("Vault answers a login without a token")]
    Login,
    #[error("Vault answers what cannot be read: {0}")]
    Unread(#[from] serde_json::Error),
}

impl Vault {
    pub(crate) fn new(web: Web, path: Option<&str>, access: Access) -> Self {
        let path = web::below(path.unwrap_or("acme"));
        Self {
            web,
            access,
            data: format!("v1/secret/data/{path}"),
            metadata: format!("v1/secret/metadata/{path}"),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Answered, VaultError> {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let asked = |token: Option<HeaderValue>| {
            let headers = token.map(|token| (TOKEN, token)).into_iter().collect();
            self.web.ask(method.clone(), path, headers, body.clone())
        };
        let kubernetes = match &self.access {
            Access::Token(token) => return Ok(asked(token.clone()).await?),
            Access::Kubernetes(kubernetes) => kubernetes,
        };
        let known = kubernetes.known().clone();
        if let Some(token) = known {
            match asked(Some(token)).await {
                // The login does not last for ever.
                Err(WebError::Refused(403, _)) => {}
                answer => return Ok(answer?),
            }
        }
        let token = kubernetes.log_in(&self.web).await?;
        Ok(asked(Some(token)).await?)
    }

    async fn read(&self, key: &str) -> Result<Option<Versioned>, VaultError> {
        let path = format!("{}{}", self.data, web::part(key));
        let answer = self.ask(Method::GET, &path, Value::Null).await?;
        let read: Result<Read, _> = serde_json::from_slice(&answer.body);
        match read {
            Ok(read) => Ok(read.data),
            Err(_) if answer.status == 404 => Ok(None),
            Err(problem) => Err(problem.into()),
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<String>, VaultError> {
        let read = self.read(key).await?;
        let value = read.and_then(|read| read.data?.get("value")?.as_str().map(str::to_owned));
        Ok(value)
    }

    /// Keeps a value unless there is one and only new ones are kept; whether it is kept.
    pub(super) async fn put(
        &self,
        key: &str,
        value: &str,
        lasts: Option<Duration>,
        only_new: bool,
    ) -> Result<bool, VaultError> {
        let mut asked = json!({"data": {"value": value, "note": NOTE}});
        if only_new {
            // In place of what is over, so that of two who find it one keeps its value.
            let version = match self.read(key).await? {
                Some(read) if read.data.is_some() => return Ok(false),
                Some(read) => read.metadata.map_or(0, |metadata| metadata.version),
                None => 0,
            };
            asked["options"] = json!({"cas": version});
        }
        let key = web::part(key);
        if let Some(lasts) = lasts {
            let lasts = format!("{}ms", lasts.max(LEAST).as_millis());
            let path = format!("{}{key}", self.metadata);
            let settings = json!({"delete_version_after": lasts});
            self.ask(Method::POST, &path, settings).await?;
        }
        match self
            .ask(Method::POST, &format!("{}{key}", self.data), asked)
            .await
        {
            Ok(answer) if answer.status == 404 => {
                let told = "there is no second version of the key-value store at `secret`";
                Err(WebError::Refused(404, told.to_owned()).into())
            }
            Ok(_) => Ok(true),
            // Another node was faster.
            Err(VaultError::Web(WebError::Refused(400, told)))
                if only_new && told.contains("check-and-set") =>
            {
                Ok(false)
            }
            Err(problem) => Err(problem),
        }
    }

    /// All versions.
    pub(super) async fn delete(&self, key: &str) -> Result<(), VaultError> {
        let path = format!("{}{}", self.metadata, web::part(key));
        self.ask(Method::DELETE, &path, Value::Null).await?;
        Ok(())
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, VaultError> {
        let path = format!("{}?list=true", self.metadata);
        let answer = self.ask(Method::GET, &path, Value::Null).await?;
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        let listed: Listed = serde_json::from_slice(&answer.body)?;
        let mut keys = listed.data.keys;
        keys.retain(|key| key.starts_with(prefix));
        keys.sort_unstable();
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::super::web::Place;
    use super::*;
    use crate::names::Names;
    use crate::peer_tls::Trust;
    use crate::testing::server;

    #[tokio::test]
    async fn a_cluster_of_kubernetes_vouches_for_the_node() {
        let login = |token: &str| json!({"auth": {"client_token": token}}).to_string();
        let found = json!({"data": {"data": {"value": "v"}, "metadata": {"version": 1}}});
        let (address, asked) = server(vec![
            ("200 OK", login("t1")),
            ("200 OK", found.to_string()),
            (
                "403 Forbidden",
                json!({"errors": ["permission denied"]}).to_string(),
            ),
            ("200 OK", login("t2")),
            ("404 Not Found", json!({"errors": []}).to_string()),
        ]);
        let directory = tempfile::tempdir().unwrap();
        let jwt = directory.path().join("token");
        std::fs::write(&jwt, "who-i-am\n").unwrap();
        let web = Web::new(&Place {
            https: false,
            host: "127.0.0.1",
            port: address.port(),
            called: None,
            tls: Trust::default().client(true),
            names: &Names::default(),
            timeout: Duration::from_secs(30),
        });
        let access = Access::kubernetes(Some("k8s/prod"), Some("gateway"), jwt.to_str());
        let vault = Vault::new(web.unwrap(), None, access);
        assert_eq!(vault.get("k").await.unwrap().as_deref(), Some("v"));
        // The login is over; a new one is made.
        assert_eq!(vault.get("k").await.unwrap(), None);
        let asked: Vec<_> = asked.into_iter().collect();
        let lines: Vec<_> = asked.iter().map(|asked| asked.line.as_str()).collect();
        let login = "POST /v1/auth/k8s/prod/login HTTP/1.1";
        let read = "GET /v1/secret/data/acme/k HTTP/1.1";
        assert_eq!(lines, [login, read, read, login, read]);
        let said: Value = serde_json::from_slice(&asked[0].body).unwrap();
        assert_eq!(said, json!({"role": "gateway", "jwt": "who-i-am"}));
        let tokens = asked.iter().map(|asked| asked.header("x-vault-token"));
        let tokens: Vec<_> = tokens.collect();
        assert_eq!(tokens, [None, Some("t1"), Some("t1"), None, Some("t2")]);
    }
}
