//! Who may call, as snapshots list them.

use std::sync::Arc;

use keelgate_entities::List;
use keelgate_entities::kinds::{
    Acl, BasicAuthCredential, Consumer, HmacAuthCredential, JwtSecret, KeyAuthCredential,
    OAuth2Credential,
};
use keelgate_plugins::Directory;
use keelgate_plugins::directory::Changes;

/// Everything that a directory is made of, and nothing else.
#[derive(Debug)]
pub(crate) struct People {
    pub(crate) consumers: List<Consumer>,
    pub(crate) keys: List<KeyAuthCredential>,
    pub(crate) passwords: List<BasicAuthCredential>,
    pub(crate) tokens: List<JwtSecret>,
    pub(crate) signers: List<HmacAuthCredential>,
    pub(crate) applications: List<OAuth2Credential>,
    pub(crate) groups: List<Acl>,
}

impl People {
    /// Their directory: that of `previous`, or made from it, where they are mostly the same.
    pub(crate) fn directory(&self, previous: Option<(&Self, &Arc<Directory>)>) -> Arc<Directory> {
        if let Some((people, directory)) = previous {
            if self.are(people) {
                return Arc::clone(directory);
            }
            if let Some(changed) = directory.after(&self.since(people)) {
                return Arc::new(changed);
            }
        }
        let directory = Directory::new(self.consumers.to_vec(), self.keys.to_vec())
            .with_basic_auth(self.passwords.to_vec())
            .with_jwt(self.tokens.to_vec())
            .with_hmac_auth(self.signers.to_vec())
            .with_oauth2(self.applications.to_vec())
            .with_groups(self.groups.to_vec());
        Arc::new(directory)
    }

    fn since<'a>(&'a self, earlier: &'a Self) -> Changes<'a> {
        let Self {
            consumers,
            keys,
            passwords,
            tokens,
            signers,
            applications,
            groups,
        } = self;
        Changes {
            consumers: consumers.since(&earlier.consumers, |one| one.id),
            keyauth_credentials: keys.since(&earlier.keys, |one| one.id),
            basicauth_credentials: passwords.since(&earlier.passwords, |one| one.id),
            jwt_secrets: tokens.since(&earlier.tokens, |one| one.id),
            hmacauth_credentials: signers.since(&earlier.signers, |one| one.id),
            oauth2_credentials: applications.since(&earlier.applications, |one| one.id),
            acls: groups.since(&earlier.groups, |one| one.id),
            all_acls: groups,
        }
    }

    fn are(&self, other: &Self) -> bool {
        let Self {
            consumers,
            keys,
            passwords,
            tokens,
            signers,
            applications,
            groups,
        } = self;
        consumers.is(&other.consumers)
            && keys.is(&other.keys)
            && passwords.is(&other.passwords)
            && tokens.is(&other.tokens)
            && signers.is(&other.signers)
            && applications.is(&other.applications)
            && groups.is(&other.groups)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn people(consumers: List<Consumer>) -> People {
        People {
            consumers,
            keys: List::default(),
            passwords: List::default(),
            tokens: List::default(),
            signers: List::default(),
            applications: List::default(),
            groups: List::default(),
        }
    }

    fn consumers(name: &str) -> List<Consumer> {
        let id = uuid::Uuid::from_u128(1);
        serde_json::from_value(json!([{"id": id, "username": name}])).unwrap()
    }

    #[test]
    fn a_directory_is_taken_over_where_nobody_has_changed() {
        let (alice, bob) = (consumers("alice"), consumers("bob"));
        let first = people(alice.clone());
        let directory = first.directory(None);
        let same = people(alice).directory(Some((&first, &directory)));
        assert!(Arc::ptr_eq(&same, &directory));
        let other = people(bob).directory(Some((&first, &directory)));
        assert!(other.consumer("bob").is_some() && other.consumer("alice").is_none());
    }
}
