//! A directory that is written directly and read through a web server.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use keelgate_fallback::{
    Answer, ErrorKind, Listed, Location, Object, Operation, Storage, StorageError, StorageSettings,
    Version, open,
};

use crate::bed::Bed;
use crate::played_server::{Asked, Authority, Body, Played, answer};

impl Bed {
    /// A web server that shows what is written to a directory behind it.
    pub(crate) async fn https() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("backup");
        let authority = Authority::new("localhost");
        let shown = root.clone();
        let server = Played::tls(&authority, move |asked| show(&shown, asked)).await;
        let port = server.address.port();
        Self {
            location: format!("https://localhost:{port}/mirror").parse().unwrap(),
            settings: StorageSettings {
                trusted_certificates: vec![authority.certificate.clone()],
                ..StorageSettings::default()
            },
            behind: Some(Location::Directory { path: root }),
            nowhere: "https://localhost:1/mirror".parse().unwrap(),
            wrong_credentials: None,
            _keep: Some(Box::new((directory, server))),
        }
    }
}

fn show(root: &std::path::Path, asked: &Asked) -> Response<Body> {
    let Some(key) = asked.target.strip_prefix("/mirror/") else {
        return answer(404, &[], "");
    };
    let path: PathBuf = root.join(key);
    let Ok(content) = std::fs::read(path) else {
        return answer(404, &[], "<html>not here</html>");
    };
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let tag = format!("\"{:x}\"", hasher.finish());
    if asked.header("if-none-match") == Some(&tag) {
        return answer(304, &[("etag", &tag)], "");
    }
    let body = Full::new(Bytes::from(content)).boxed();
    Response::builder().header("etag", tag).body(body).unwrap()
}

/// Reads from one storage what it writes to the other.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) front: Arc<dyn Storage>,
    pub(crate) behind: Arc<dyn Storage>,
}

impl Mirror {
    pub(crate) fn open(bed: &Bed, behind: &Location) -> Arc<dyn Storage> {
        Arc::new(Self {
            front: open(&bed.location, &bed.settings).unwrap(),
            behind: open(behind, &bed.settings).unwrap(),
        })
    }

    /// The version that readers see after a write.
    async fn seen(&self, key: &str) -> Result<Version, StorageError> {
        Ok(self.front.get(key, None, u64::MAX).await?.version)
    }
}

impl Storage for Mirror {
    fn location(&self) -> &str {
        self.front.location()
    }

    fn writable(&self) -> bool {
        self.behind.writable()
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        known: Option<&'a Version>,
        limit: u64,
    ) -> Answer<'a, Object> {
        self.front.get(key, known, limit)
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Version> {
        Box::pin(async move {
            self.behind.put(key, bytes).await?;
            self.seen(key).await
        })
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Version> {
        Box::pin(async move {
            self.behind.put_if_absent(key, bytes).await?;
            self.seen(key).await
        })
    }

    fn put_if_match<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        expected: &'a Version,
    ) -> Answer<'a, Version> {
        Box::pin(async move {
            if self.seen(key).await? != *expected {
                let kind = ErrorKind::Precondition;
                return Err(StorageError::new("", Operation::Replace, key, kind, ""));
            }
            self.put(key, bytes).await
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Listed>> {
        self.behind.list(prefix)
    }

    fn folders(&self) -> Answer<'_, Vec<String>> {
        self.behind.folders()
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        self.behind.delete(key)
    }
}
