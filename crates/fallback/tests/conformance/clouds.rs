//! Fresh places in the storages of Google and Microsoft.

use keelgate_fallback::Location;

use crate::bed::{Bed, Wrong};
use crate::cloud_servers::{azure, gcs};

impl Bed {
    pub(crate) fn gcs() -> Self {
        let (location, settings) = gcs::fresh();
        Self {
            location,
            settings,
            behind: None,
            nowhere: "gcs://keelgate-no-such-bucket/prefix".parse().unwrap(),
            // Its server asks for none; `tests/gcs.rs` plays one that does.
            wrong_credentials: None,
            _keep: None,
        }
    }

    pub(crate) fn azure() -> Self {
        // "hunter2-secret" in base64.
        let secret = "aHVudGVyMi1zZWNyZXQ=";
        Self {
            location: azure::place(),
            settings: azure::with_key(&azure::key()),
            behind: None,
            nowhere: Location::Azure {
                account: azure::account(),
                container: "no-such-container".into(),
                prefix: "prefix".into(),
            },
            wrong_credentials: Some(Wrong {
                settings: azure::with_key(secret),
                secret,
                named: "AZURE_STORAGE_KEY",
            }),
            _keep: None,
        }
    }

    /// The same container, by a shared access signature.
    pub(crate) fn azure_shared_access() -> Self {
        let endpoint = azure::endpoint();
        let by = |signature: &str| {
            crate::cloud_servers::settings([
                ("AZURE_CONFIG_STORAGE_ENDPOINT", &*endpoint),
                ("AZURE_STORAGE_SAS_TOKEN", signature),
            ])
        };
        let secret = "aHVudGVyMi1zZWNyZXQ";
        let right = azure::shared_access();
        let wrong = right.split("&sig=").next().unwrap();
        Self {
            settings: by(&right),
            wrong_credentials: Some(Wrong {
                settings: by(&format!("{wrong}&sig={secret}%3D")),
                secret,
                named: "AZURE_STORAGE_SAS_TOKEN",
            }),
            ..Self::azure()
        }
    }
}
