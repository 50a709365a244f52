//! S3 as it is met in the field, in front of the S3 server under test.
//!
//! - [`proxy`]: a store that ignores conditions, hides what is absent, or is away
//! - [`policy`]: credentials that may do some things and not others

pub mod policy;
pub mod proxy;

pub use policy::Permissions;
pub use proxy::{Behaviour, Proxy};

use object_store::aws::AwsCredential;

use crate::storage::variable;

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
        Self::named("KEELGATE_TEST_S3")
    }

    /// Garage, of the long suite.
    pub fn garage() -> Self {
        Self::named("KEELGATE_TEST_GARAGE")
    }

    fn named(prefix: &str) -> Self {
        let setting = |name| variable(&format!("{prefix}_{name}"));
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
