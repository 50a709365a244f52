//! A fresh place in each storage.

use std::any::Any;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use keelgate_fallback::{Environment, Location, Storage, StorageSettings, TimeOuts, open};
use url::Url;

use crate::mirror::Mirror;
use crate::s3_server;

/// A fresh, empty place in a storage.
pub(crate) struct Bed {
    pub(crate) location: Location,
    pub(crate) settings: StorageSettings,
    /// Where what is read here is written, when it cannot be written here.
    pub(crate) behind: Option<Location>,
    /// A bucket, container or directory of the same storage that does not exist and cannot be made.
    pub(crate) nowhere: Location,
    /// Credentials that the storage refuses, where it has any.
    pub(crate) wrong_credentials: Option<Wrong>,
    /// What must outlive the test.
    pub(crate) _keep: Option<Box<dyn Any + Send + Sync>>,
}

/// Settings whose credentials are refused.
pub(crate) struct Wrong {
    pub(crate) settings: StorageSettings,
    /// What must never be shown.
    pub(crate) secret: &'static str,
    /// What the message names as the place to mend it.
    pub(crate) named: &'static str,
}

impl Bed {
    pub(crate) fn directory() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Nothing can be made below a file.
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        Self {
            location: Location::Directory {
                path: directory.path().join("backup"),
            },
            settings: StorageSettings::default(),
            behind: None,
            nowhere: Location::Directory { path: file },
            wrong_credentials: None,
            _keep: Some(Box::new(directory)),
        }
    }

    pub(crate) fn s3() -> Self {
        let (location, settings) = s3_server::fresh();
        let secret = "hunter2-secret";
        Self {
            location,
            settings,
            behind: None,
            nowhere: "s3://keelgate-no-such-bucket/prefix".parse().unwrap(),
            wrong_credentials: Some(Wrong {
                settings: s3_server::settings(&s3_server::endpoint(), "nobody-key", secret),
                secret,
                named: "AWS_",
            }),
            _keep: None,
        }
    }

    pub(crate) fn open(&self) -> Arc<dyn Storage> {
        match &self.behind {
            Some(behind) => Mirror::open(self, behind),
            None => open(&self.location, &self.settings).unwrap(),
        }
    }

    /// The storage while it is reachable and answers nothing, and what keeps it so.
    pub(crate) fn stalled(&self) -> (Arc<dyn Storage>, Box<dyn Any + Send>) {
        let settings = StorageSettings {
            time_outs: TimeOuts {
                operation: Duration::from_millis(200),
                ..TimeOuts::default()
            },
            ..self.settings.clone()
        };
        if let Location::Directory { path } = &self.location {
            // Another writer never gives its lock back.
            std::fs::create_dir_all(path).unwrap();
            let lock = std::fs::File::create(path.join(".lock")).unwrap();
            lock.lock().unwrap();
            return (open(&self.location, &settings).unwrap(), Box::new(lock));
        }
        // Connections are made and nobody serves them.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let variables = settings.environment.iter().map(|(name, value)| {
            let mut value = value.to_owned();
            if name.ends_with("_CONFIG_STORAGE_ENDPOINT") {
                let mut url = Url::parse(&value).unwrap();
                url.set_port(Some(port)).unwrap();
                value = url.into();
            }
            (name.to_owned(), value)
        });
        let settings = StorageSettings {
            environment: Environment::new(variables),
            ..settings.clone()
        };
        let mut location = self.location.clone();
        if let Location::Https { url } = &mut location {
            url.set_port(Some(port)).unwrap();
        }
        (open(&location, &settings).unwrap(), Box::new(listener))
    }
}
