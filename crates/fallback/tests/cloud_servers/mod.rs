//! The servers that stand for Google Cloud Storage and Azure, which `cargo xtask test` starts.

// Every test program uses some of it.
#![allow(dead_code)]

use std::sync::OnceLock;

use keelgate_fallback::{Environment, Location, StorageSettings};

/// Settings with these variables.
pub(crate) fn settings<'a>(
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> StorageSettings {
    let variables = variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    StorageSettings {
        environment: Environment::new(variables),
        ..StorageSettings::default()
    }
}

/// fake-gcs-server.
pub(crate) mod gcs {
    use super::*;

    pub(crate) fn endpoint() -> String {
        variable("KEELGATE_TEST_GCS_ENDPOINT")
    }

    /// A fresh prefix in its bucket.
    pub(crate) fn fresh() -> (Location, StorageSettings) {
        let location = Location::Gcs {
            bucket: variable("KEELGATE_TEST_GCS_BUCKET"),
            prefix: format!("tests/{}", uuid::Uuid::new_v4()),
        };
        let settings = settings([
            ("GCP_CONFIG_STORAGE_ENDPOINT", &*endpoint()),
            ("GCP_SERVICE_ACCOUNT", service_account()),
        ]);
        (location, settings)
    }

    /// The key of a service account, as Google gives it.
    pub(crate) fn service_account() -> &'static str {
        static KEY: OnceLock<String> = OnceLock::new();
        KEY.get_or_init(|| {
            let key =
                rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
            serde_json::json!({
                "type": "service_account",
                "client_email": "keelgate@test.iam.gserviceaccount.com",
                "private_key_id": "1",
                "private_key": key.unwrap().serialize_pem(),
            })
            .to_string()
        })
    }
}

/// Azurite.
pub(crate) mod azure {
    use super::*;

    pub(crate) fn endpoint() -> String {
        variable("KEELGATE_TEST_AZURE_ENDPOINT")
    }

    pub(crate) fn account() -> String {
        variable("KEELGATE_TEST_AZURE_ACCOUNT")
    }

    /// A fresh prefix in its container.
    pub(crate) fn place() -> Location {
        Location::Azure {
            account: account(),
            container: variable("KEELGATE_TEST_AZURE_CONTAINER"),
            prefix: format!("tests/{}", uuid::Uuid::new_v4()),
        }
    }

    pub(crate) fn with_key(key: &str) -> StorageSettings {
        settings([
            ("AZURE_CONFIG_STORAGE_ENDPOINT", &*endpoint()),
            ("AZURE_STORAGE_KEY", key),
        ])
    }

    pub(crate) fn key() -> String {
        variable("KEELGATE_TEST_AZURE_ACCOUNT_KEY")
    }

    /// A signature that allows everything in the account.
    pub(crate) fn shared_access() -> String {
        variable("KEELGATE_TEST_AZURE_SAS")
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs a storage server. Run `cargo xtask test`, or leave `cargo xtask storage` running and set the variables that it prints")
    })
}
