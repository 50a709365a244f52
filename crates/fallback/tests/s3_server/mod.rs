//! The S3 server of the tests, which `cargo xtask test` starts.

// Every test program uses some of it.
#![allow(dead_code)]

use keelgate_fallback::{Environment, Location, StorageSettings};

/// Where the server listens.
pub(crate) fn endpoint() -> String {
    variable("ENDPOINT")
}

/// The access key and its secret.
pub(crate) fn credentials() -> (String, String) {
    (variable("ACCESS_KEY_ID"), variable("SECRET_ACCESS_KEY"))
}

/// A fresh prefix in the bucket of the server.
pub(crate) fn fresh() -> (Location, StorageSettings) {
    let location = Location::S3 {
        bucket: variable("BUCKET"),
        prefix: format!("tests/{}", uuid::Uuid::new_v4()),
    };
    let (key, secret) = credentials();
    (location, settings(&endpoint(), &key, &secret))
}

/// Settings with these credentials.
pub(crate) fn settings(endpoint: &str, key: &str, secret: &str) -> StorageSettings {
    let environment = [
        ("AWS_CONFIG_STORAGE_ENDPOINT", endpoint),
        ("AWS_ACCESS_KEY_ID", key),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
    ];
    StorageSettings {
        environment: Environment::new(
            environment.map(|(name, value)| (name.to_owned(), value.to_owned())),
        ),
        ..StorageSettings::default()
    }
}

fn variable(name: &str) -> String {
    let name = format!("KEELGATE_TEST_S3_{name}");
    std::env::var(&name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs an S3 server. Run `cargo xtask test`, or leave `cargo xtask storage` running and set the variables that it prints")
    })
}
