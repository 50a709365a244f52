//! S3 as it is met in the field, in front of the S3 server under test.
//!
//! - [`proxy`]: a store that ignores conditions, hides what is absent, or is away
//! - [`policy`]: credentials that may do some things and not others

pub mod policy;
pub mod proxy;

pub use policy::Permissions;
pub use proxy::{Behaviour, Proxy};

use object_store::aws::AwsCredential;

/// The region of the servers under test.
pub(crate) const REGION: &str = "us-east-1";

/// The S3 server that `cargo xtask test` has started.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it listens, such as `http://127.0.0.1:9000`.
    pub endpoint: String,
    /// A bucket that is there.
    pub bucket: String,
    /// Credentials that may do everything.
    pub key: String,
    /// The secret of `key`.
    pub secret: String,
}

impl Server {
    /// Reads its variables; panics with what to do when there is none.
    pub fn under_test() -> Self {
        Self::named("KEELGATE_TEST_S3", "cargo xtask test")
    }

    /// Reads the variables of a server that `task` starts.
    pub(crate) fn named(prefix: &str, task: &str) -> Self {
        let setting = |name: &str| {
            std::env::var(format!("{prefix}_{name}")).unwrap_or_else(|_| {
                panic!("{prefix}_{name} is not set: this test needs a server that `{task}` starts")
            })
        };
        Self {
            endpoint: setting("ENDPOINT"),
            bucket: setting("BUCKET"),
            key: setting("ACCESS_KEY_ID"),
            secret: setting("SECRET_ACCESS_KEY"),
        }
    }

    pub(crate) fn credential(&self) -> AwsCredential {
        AwsCredential {
            key_id: self.key.clone(),
            secret_key: self.secret.clone(),
            token: None,
        }
    }
}
