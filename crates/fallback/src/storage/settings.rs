//! What opening a storage needs besides its location.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::S3PutOptions;

/// How long one operation may take.
#[derive(Clone, Copy, Debug)]
pub struct TimeOuts {
    /// Making a connection.
    pub connect: Duration,
    /// The whole of one operation.
    pub operation: Duration,
}

impl Default for TimeOuts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            operation: Duration::from_secs(15),
        }
    }
}

/// What opening a storage needs besides its location.
#[derive(Clone, Debug, Default)]
pub struct StorageSettings {
    /// Time-outs of every operation.
    pub time_outs: TimeOuts,
    /// Credentials and endpoints, as the vendors' own tools read them.
    pub environment: Environment,
    /// What is said of every object that is written to an S3 storage.
    pub put_options: S3PutOptions,
    /// Authorities that are trusted besides those of the system; each text is one or more
    /// certificates in PEM.
    pub trusted_certificates: Vec<String>,
    /// Headers of every request to an `https://` storage.
    pub https_headers: Vec<SecretHeader>,
}

/// A header whose value is a secret, such as `Authorization`. `Debug` shows its name only.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHeader {
    /// The name.
    pub name: String,
    /// The value, which is never shown.
    pub value: String,
}

impl fmt::Debug for SecretHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// The variables by which the vendors' own tools find credentials and endpoints. `Debug` shows
/// their names only.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

/// How the variables begin that vendors have for themselves.
const PREFIXES: [&str; 6] = ["AWS_", "GCP_", "GOOGLE_", "GCE_", "CLOUDSDK_", "AZURE_"];

/// Others that tell where credentials are: the home directory, and the identity endpoint of Azure's
/// hosts.
const NAMES: [&str; 5] = [
    "HOME",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "MSI_ENDPOINT",
    "MSI_SECRET",
];

impl Environment {
    /// Keeps what storages read of `variables`, usually `std::env::vars()`.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            variables: variables
                .into_iter()
                .filter(|(name, value)| {
                    let known = PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                        || NAMES.contains(&name.as_str());
                    known && !value.is_empty()
                })
                .collect(),
        }
    }

    /// The value of a variable; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_keeps_what_storages_read_and_shows_names_alone() {
        let variables = [
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("GCP_SERVICE_ACCOUNT", "hunter2"),
            ("IDENTITY_HEADER", "hunter2"),
            ("AWS_PROFILE", ""),
            ("PATH", "hunter2"),
        ];
        let environment =
            Environment::new(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(environment.get("AWS_SECRET_ACCESS_KEY"), Some("hunter2"));
        assert_eq!(environment.get("AWS_PROFILE"), None);
        assert_eq!(environment.get("PATH"), None);
        let shown = format!("{environment:?}");
        assert!(shown.contains("GCP_SERVICE_ACCOUNT"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let header = SecretHeader {
            name: "authorization".to_owned(),
            value: "hunter2".to_owned(),
        };
        assert_eq!(format!("{header:?}"), "\"authorization\"");
    }
}
