//! Which credentials the environment offers, by their kinds; never their values.

use std::path::Path;

use url::Url;

/// The kinds of credentials that are found for a storage, the first of which is used.
pub(super) fn found(
    location: &str,
    variable: impl Fn(&str) -> Option<String>,
    exists: impl Fn(&Path) -> bool,
) -> Vec<String> {
    let scheme = Url::parse(location).map(|url| url.scheme().to_owned());
    let kinds: &[Kind] = match scheme.as_deref() {
        Ok("s3") => &S3,
        Ok("gcs" | "gs") => &GOOGLE,
        Ok("azure" | "az") => &AZURE,
        Ok("file") => return vec!["the rights of this process in the file system".to_owned()],
        _ => &HTTPS,
    };
    let mut found: Vec<String> = kinds
        .iter()
        .filter(|kind| kind.variables.iter().all(|name| variable(name).is_some()))
        .map(Kind::told)
        .collect();
    let home = variable("HOME").unwrap_or_default();
    let files: &[&str] = match scheme.as_deref() {
        Ok("s3") => &[".aws/credentials", ".aws/config"],
        Ok("gcs" | "gs") => &[".config/gcloud/application_default_credentials.json"],
        _ => &[],
    };
    found.extend(
        files
            .iter()
            .map(|file| Path::new(&home).join(file))
            .filter(|path| path.is_absolute() && exists(path))
            .map(|path| format!("the file {}", path.display())),
    );
    if found.is_empty() {
        found.push(
            match scheme.as_deref() {
                Ok("s3") => "none in the environment: the role of the instance is asked for",
                Ok("gcs" | "gs") => "none in the environment: the metadata server is asked for",
                Ok("azure" | "az") => "none in the environment: the managed identity is asked for",
                _ => "none, or the header of cluster_fallback_config_https_header",
            }
            .to_owned(),
        );
    }
    found
}

/// One way to give credentials.
struct Kind {
    /// What it is called.
    name: &'static str,
    /// The variables that must all be there.
    variables: &'static [&'static str],
}

impl Kind {
    fn told(&self) -> String {
        format!("{} ({})", self.name, self.variables.join(", "))
    }
}

const S3: [Kind; 7] = [
    Kind {
        name: "assumed role",
        variables: &["AWS_ASSUME_ROLE_ARN"],
    },
    Kind {
        name: "temporary keys",
        variables: &[
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        ],
    },
    Kind {
        name: "keys",
        variables: &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
    },
    Kind {
        name: "web identity",
        variables: &["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"],
    },
    Kind {
        name: "task role of ECS",
        variables: &["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
    },
    Kind {
        name: "pod identity of EKS",
        variables: &["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
    },
    Kind {
        name: "shared profile",
        variables: &["AWS_PROFILE"],
    },
];

const GOOGLE: [Kind; 3] = [
    Kind {
        name: "service account",
        variables: &["GCP_SERVICE_ACCOUNT"],
    },
    Kind {
        name: "access token",
        variables: &["GOOGLE_OAUTH_ACCESS_TOKEN"],
    },
    Kind {
        name: "application default credentials",
        variables: &["GOOGLE_APPLICATION_CREDENTIALS"],
    },
];

const AZURE: [Kind; 8] = [
    Kind {
        name: "account key",
        variables: &["AZURE_STORAGE_ACCOUNT_KEY"],
    },
    Kind {
        name: "account key",
        variables: &["AZURE_STORAGE_KEY"],
    },
    Kind {
        name: "account key",
        variables: &["AZURE_STORAGE_ACCESS_KEY"],
    },
    Kind {
        name: "shared access signature",
        variables: &["AZURE_STORAGE_SAS_TOKEN"],
    },
    Kind {
        name: "shared access signature",
        variables: &["AZURE_STORAGE_SAS_KEY"],
    },
    Kind {
        name: "client secret",
        variables: &["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"],
    },
    Kind {
        name: "workload identity",
        variables: &[
            "AZURE_TENANT_ID",
            "AZURE_CLIENT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
        ],
    },
    Kind {
        name: "identity endpoint of the host",
        variables: &["IDENTITY_ENDPOINT"],
    },
];

const HTTPS: [Kind; 0] = [];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_and_values_are_not() {
        let found = found(
            "s3://b/p",
            |name| {
                ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HOME"]
                    .contains(&name)
                    .then(|| "/hunter2".to_owned())
            },
            |path| path.ends_with(".aws/credentials"),
        );
        assert_eq!(
            found,
            [
                "keys (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
                "the file /hunter2/.aws/credentials"
            ]
        );
    }

    #[test]
    fn what_is_asked_for_without_any_is_told() {
        let found = found("azure://a/c", |_| None, |_| false);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("managed identity"), "{found:?}");
    }
}
