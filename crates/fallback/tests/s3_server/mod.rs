//! The S3 server of the tests, which `cargo xtask test` starts.

use std::io::Write;

use keelgate_fallback::{Environment, Location, StorageSettings};

/// Where the server listens; nothing when there is none, which is told past the capture of the
/// test harness and is a failure under CI.
pub(crate) fn endpoint() -> Option<String> {
    let endpoint = std::env::var("KEELGATE_TEST_S3_ENDPOINT").ok();
    if endpoint.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "KEELGATE_TEST_S3_ENDPOINT must be set under CI: run `cargo xtask test`"
        );
        let test = std::thread::current();
        let line = format!(
            "NOT RUN: {} (no S3 server: run `cargo xtask test`)\n",
            test.name().unwrap_or("an S3 test")
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    endpoint
}

/// A fresh prefix in the bucket of the server.
pub(crate) fn fresh() -> Option<(Location, StorageSettings)> {
    let endpoint = endpoint()?;
    let location = Location::S3 {
        bucket: variable("BUCKET", "keelgate"),
        prefix: format!("tests/{}", uuid::Uuid::new_v4()),
    };
    let key = variable("ACCESS_KEY_ID", "minioadmin");
    let secret = variable("SECRET_ACCESS_KEY", "minioadmin");
    Some((location, settings(&endpoint, &key, &secret)))
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

fn variable(name: &str, default: &str) -> String {
    std::env::var(format!("KEELGATE_TEST_S3_{name}")).unwrap_or_else(|_| default.into())
}
