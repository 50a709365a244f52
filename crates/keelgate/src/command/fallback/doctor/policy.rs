//! The least that a storage must allow to readers and to writers.

use serde::Serialize;
use serde_json::json;
use url::Url;

/// What to grant, in the words of the vendor.
#[derive(Debug, Serialize)]
pub(super) struct Policies {
    /// For data planes that import.
    pub(super) reader: String,
    /// For nodes that export.
    pub(super) writer: String,
}

impl Policies {
    /// The policies for one storage, given by its location.
    pub(super) fn of(location: &str) -> Self {
        let Ok(url) = Url::parse(location) else {
            return Self::none();
        };
        let name = url.host_str().unwrap_or_default();
        let path = url.path().trim_matches('/');
        match url.scheme() {
            "s3" => Self::s3(name, path),
            "gcs" | "gs" => Self::google(name),
            "azure" | "az" => {
                let (container, _) = path.split_once('/').unwrap_or((path, ""));
                Self::azure(name, container)
            }
            "file" => Self::directory(url.path()),
            _ => Self {
                reader: "GET for everything below the address".to_owned(),
                writer: "not possible: storages over HTTPS are read only".to_owned(),
            },
        }
    }

    fn none() -> Self {
        Self {
            reader: String::new(),
            writer: String::new(),
        }
    }

    fn s3(bucket: &str, prefix: &str) -> Self {
        let below = match prefix {
            "" => "*".to_owned(),
            prefix => format!("{prefix}/*"),
        };
        let objects = format!("arn:aws:s3:::{bucket}/{below}");
        let read = json!({
            "Sid": "KeelgateRead",
            "Effect": "Allow",
            "Action": ["s3:GetObject"],
            "Resource": [objects],
        });
        // The bucket's root is listed with an empty prefix: no condition can narrow that.
        let mut list = json!({
            "Sid": "KeelgateList",
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [format!("arn:aws:s3:::{bucket}")],
        });
        if !prefix.is_empty() {
            list["Condition"] = json!({"StringLike": {"s3:prefix": [below]}});
        }
        let write = json!({
            "Sid": "KeelgateWrite",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": [objects],
        });
        // Without it nothing is lost, and the history is never shortened.
        let prune = json!({
            "Sid": "KeelgatePrune",
            "Effect": "Allow",
            "Action": ["s3:DeleteObject"],
            "Resource": [objects],
        });
        let document = |statements: serde_json::Value| {
            let policy = json!({"Version": "2012-10-17", "Statement": statements});
            format!("{policy:#}")
        };
        Self {
            reader: document(json!([read])),
            writer: document(json!([write, list, prune])),
        }
    }

    /// The reader's role is the one that reads objects and lists nothing.
    fn google(bucket: &str) -> Self {
        let grant = |role: &str| {
            format!(
                "gcloud storage buckets add-iam-policy-binding gs://{bucket} \\\n  --member=serviceAccount:NAME@PROJECT.iam.gserviceaccount.com \\\n  --role={role}"
            )
        };
        Self {
            reader: grant("roles/storage.legacyObjectReader"),
            writer: grant("roles/storage.objectUser"),
        }
    }

    fn azure(account: &str, container: &str) -> Self {
        let grant = |role: &str| {
            format!(
                "az role assignment create --assignee-object-id PRINCIPAL_ID --role \"{role}\" \\\n  --scope /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/{account}/blobServices/default/containers/{container}"
            )
        };
        Self {
            reader: grant("Storage Blob Data Reader"),
            writer: grant("Storage Blob Data Contributor"),
        }
    }

    fn directory(path: &str) -> Self {
        Self {
            reader: format!(
                "read and search {path} and what is below (r-x on directories, r-- on files)"
            ),
            writer: format!("also create, rename and delete below {path} (rwx on directories)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_reader_of_s3_needs_one_permission_below_the_prefix() {
        let policies = Policies::of("s3://backups/edge/prod");
        let reader: Value = serde_json::from_str(&policies.reader).unwrap();
        assert_eq!(reader["Statement"].as_array().unwrap().len(), 1);
        assert_eq!(reader["Statement"][0]["Action"], json!(["s3:GetObject"]));
        let resource = &reader["Statement"][0]["Resource"][0];
        assert_eq!(resource, "arn:aws:s3:::backups/edge/prod/*");
        let writer: Value = serde_json::from_str(&policies.writer).unwrap();
        let list = &writer["Statement"][1];
        assert_eq!(
            list["Condition"]["StringLike"]["s3:prefix"],
            json!(["edge/prod/*"])
        );
    }

    #[test]
    fn every_kind_of_storage_has_both() {
        for location in [
            "s3://b",
            "gcs://b/p",
            "gs://b",
            "azure://account/container/p",
            "file:///srv/backup",
            "https://mirror.example/keelgate",
        ] {
            let policies = Policies::of(location);
            assert!(!policies.reader.is_empty(), "{location}");
            assert!(!policies.writer.is_empty(), "{location}");
        }
    }
}
