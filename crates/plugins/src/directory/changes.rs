//! What a change makes of a directory, without looking at everything else.

use keelgate_entities::kinds::{
    Acl, BasicAuthCredential, Consumer, HmacAuthCredential, JwtSecret, KeyAuthCredential,
    OAuth2Credential,
};
use keelgate_entities::{Change, List};
use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::index::MOST_CHANGES;
use super::{
    Application, BasicAuth, Directory, GroupIndex, Groups, HmacAuth, Identity, Jwt, KeyAuth, sha256,
};

/// What has changed since a directory was made: a member for everything that it is made of.
#[derive(Debug)]
#[allow(missing_docs, reason = "named as in a configuration")]
pub struct Changes<'a> {
    pub consumers: Change<'a, Consumer>,
    pub keyauth_credentials: Change<'a, KeyAuthCredential>,
    pub basicauth_credentials: Change<'a, BasicAuthCredential>,
    pub jwt_secrets: Change<'a, JwtSecret>,
    pub hmacauth_credentials: Change<'a, HmacAuthCredential>,
    pub oauth2_credentials: Change<'a, OAuth2Credential>,
    pub acls: Change<'a, Acl>,
    /// All memberships, after the change.
    pub all_acls: &'a List<Acl>,
}

impl Changes<'_> {
    fn len(&self) -> usize {
        let Self {
            consumers,
            keyauth_credentials,
            basicauth_credentials,
            jwt_secrets,
            hmacauth_credentials,
            oauth2_credentials,
            acls,
            all_acls: _,
        } = self;
        let credentials = keyauth_credentials.len()
            + basicauth_credentials.len()
            + jwt_secrets.len()
            + hmacauth_credentials.len()
            + oauth2_credentials.len();
        consumers.len() + credentials + acls.len()
    }
}

impl Directory {
    /// The directory after some changes; none where so much has changed that it is better made anew.
    pub fn after(&self, changes: &Changes<'_>) -> Option<Self> {
        if changes.len() > MOST_CHANGES {
            return None;
        }
        let consumers = &changes.consumers;
        let ids = || consumers.gone.iter().map(|consumer| consumer.id);
        let keys = &changes.keyauth_credentials;
        let digest = |credential: &KeyAuthCredential| sha256(credential.key.as_bytes());
        let passwords = &changes.basicauth_credentials;
        let tokens = &changes.jwt_secrets;
        let signers = &changes.hmacauth_credentials;
        let applications = &changes.oauth2_credentials;
        Some(Self {
            consumers: self.consumers.after(
                ids(),
                consumers.new.iter().map(|new| (new.id, (*new).clone())),
            )?,
            by_username: self.by_username.after(
                consumers
                    .gone
                    .iter()
                    .filter_map(|gone| gone.username.clone()),
                consumers
                    .new
                    .iter()
                    .filter_map(|new| Some((new.username.clone()?, new.id))),
            )?,
            identities: self.identities.after(
                ids(),
                consumers.new.iter().map(|new| (new.id, Identity::of(new))),
            )?,
            keys: self.keys.after(
                keys.gone.iter().map(|gone| digest(gone)),
                keys.new.iter().map(|new| (digest(new), KeyAuth::of(new))),
            )?,
            passwords: self.passwords.after(
                passwords.gone.iter().map(|gone| gone.username.clone()),
                passwords
                    .new
                    .iter()
                    .map(|new| (new.username.clone(), BasicAuth::of((*new).clone()))),
            )?,
            tokens: self.tokens.after(
                tokens.gone.iter().filter_map(|gone| gone.key.clone()),
                tokens
                    .new
                    .iter()
                    .filter_map(|new| Jwt::of((*new).clone()))
                    .map(|jwt| (jwt.key.clone(), jwt)),
            )?,
            signers: self.signers.after(
                signers.gone.iter().map(|gone| gone.username.clone()),
                signers
                    .new
                    .iter()
                    .filter_map(|new| HmacAuth::of((*new).clone()))
                    .map(|signer| (signer.username.clone(), signer)),
            )?,
            applications: self.applications.after(
                applications.gone.iter().map(|gone| gone.id),
                applications
                    .new
                    .iter()
                    .map(|new| (new.id, Application::of((*new).clone()))),
            )?,
            client_ids: self.client_ids.after(
                applications
                    .gone
                    .iter()
                    .filter_map(|gone| gone.client_id.clone()),
                applications
                    .new
                    .iter()
                    .filter_map(|new| Some((new.client_id.clone()?, new.id))),
            )?,
            groups: self.groups_after(&changes.acls, changes.all_acls)?,
        })
    }

    /// Groups have an order, so that those of a consumer are gathered anew.
    fn groups_after(&self, changed: &Change<'_, Acl>, all: &List<Acl>) -> Option<GroupIndex> {
        let concerned = changed.gone.iter().chain(&changed.new);
        let mut concerned: FxHashMap<Uuid, Groups> = concerned
            .map(|membership| (membership.consumer.0, Groups::default()))
            .collect();
        let members: Vec<Uuid> = concerned.keys().copied().collect();
        if !concerned.is_empty() {
            for membership in all.iter() {
                if let Some(groups) = concerned.get_mut(&membership.consumer.0) {
                    groups.names.push(membership.group.clone());
                }
            }
        }
        concerned.retain(|_, groups| !groups.names.is_empty());
        self.groups.after(members, concerned)
    }
}

#[cfg(test)]
mod any_sequence;

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    fn id(number: u32) -> Uuid {
        Uuid::from_u128(number.into())
    }

    fn list<T: DeserializeOwned>(entities: Value) -> List<T> {
        serde_json::from_value(entities).unwrap()
    }

    /// Everything that a directory is made of.
    struct Lists {
        consumers: List<Consumer>,
        keys: List<KeyAuthCredential>,
        passwords: List<BasicAuthCredential>,
        tokens: List<JwtSecret>,
        signers: List<HmacAuthCredential>,
        applications: List<OAuth2Credential>,
        groups: List<Acl>,
    }

    impl Lists {
        /// Consumers with one credential of each kind and two groups.
        fn of(consumers: &[(u32, &str)]) -> Self {
            let each = |make: &dyn Fn(u32, &str) -> Value| {
                let made = consumers.iter().map(|(number, name)| make(*number, name));
                Value::Array(made.collect())
            };
            let owner = |number| json!({"id": id(number)});
            let groups = consumers.iter().flat_map(|(number, name)| {
                ["staff", name].map(|group| {
                    let place = number * 10 + u32::from(group == "staff");
                    json!({"id": id(place), "consumer": owner(*number), "group": group})
                })
            });
            Self {
                consumers: list(each(&|n, name| json!({"id": id(n), "username": name}))),
                keys: list(each(
                    &|n, name| json!({"id": id(n), "consumer": owner(n), "key": name}),
                )),
                passwords: list(each(
                    &|n, name| json!({"id": id(n), "consumer": owner(n), "username": name, "password": "x"}),
                )),
                tokens: list(each(
                    &|n, name| json!({"id": id(n), "consumer": owner(n), "key": name, "secret": "x"}),
                )),
                signers: list(each(
                    &|n, name| json!({"id": id(n), "consumer": owner(n), "username": name, "secret": "x"}),
                )),
                applications: list(each(
                    &|n, name| json!({"id": id(n), "consumer": owner(n), "name": name, "client_id": name}),
                )),
                groups: list(Value::Array(groups.collect())),
            }
        }

        fn directory(&self) -> Directory {
            Directory::new(self.consumers.to_vec(), self.keys.to_vec())
                .with_basic_auth(self.passwords.to_vec())
                .with_jwt(self.tokens.to_vec())
                .with_hmac_auth(self.signers.to_vec())
                .with_oauth2(self.applications.to_vec())
                .with_groups(self.groups.to_vec())
        }

        fn since<'a>(&'a self, earlier: &'a Self) -> Changes<'a> {
            Changes {
                consumers: self.consumers.since(&earlier.consumers, |one| one.id),
                keyauth_credentials: self.keys.since(&earlier.keys, |one| one.id),
                basicauth_credentials: self.passwords.since(&earlier.passwords, |one| one.id),
                jwt_secrets: self.tokens.since(&earlier.tokens, |one| one.id),
                hmacauth_credentials: self.signers.since(&earlier.signers, |one| one.id),
                oauth2_credentials: (self.applications).since(&earlier.applications, |one| one.id),
                acls: self.groups.since(&earlier.groups, |one| one.id),
                all_acls: &self.groups,
            }
        }
    }

    /// What a directory knows under a name, in each of its parts.
    fn known(directory: &Directory, name: &str) -> Vec<Option<(Uuid, Vec<String>)>> {
        let found = [
            directory.consumer(name),
            directory.key(name.as_bytes()).map(|found| found.1),
            directory.jwt(name).map(|found| found.1),
            directory.hmac_auth(name).map(|found| found.1),
            directory
                .client(name)
                .and_then(|application| Some(directory.application(application.id)?.1)),
            directory
                .has_password(name)
                .then(|| directory.consumer(name))
                .flatten(),
        ];
        let told = found.map(|consumer| {
            let consumer = consumer?;
            assert_eq!(consumer.username.as_deref(), Some(name));
            let shown = directory.identity(consumer)?.username.as_ref()?;
            assert_eq!(shown, name);
            let groups = directory.groups(consumer);
            let groups = groups.map_or_else(Vec::new, |groups| groups.names().to_vec());
            Some((consumer.id, groups))
        });
        told.into()
    }

    #[test]
    fn a_directory_after_changes_is_that_of_the_changed_lists() {
        let versions = [
            Lists::of(&[(1, "ann"), (2, "bob"), (3, "cid")]),
            // Renamed, removed, new, and a name that moves on.
            Lists::of(&[(1, "anna"), (3, "bob"), (4, "dee")]),
            Lists::of(&[(1, "ann"), (4, "dee"), (5, "cid")]),
        ];
        let mut directory = versions[0].directory();
        for pair in versions.windows(2) {
            let changes = pair[1].since(&pair[0]);
            directory = directory.after(&changes).unwrap();
            let whole = pair[1].directory();
            for name in ["ann", "anna", "bob", "cid", "dee"] {
                assert_eq!(known(&directory, name), known(&whole, name), "{name}");
            }
        }
    }

    #[test]
    fn a_directory_is_made_anew_where_most_has_changed() {
        let names: Vec<String> = (0..5000).map(|number| format!("c{number}")).collect();
        let many: Vec<(u32, &str)> = (0..).zip(names.iter().map(String::as_str)).collect();
        let (few, many) = (Lists::of(&[(1, "ann")]), Lists::of(&many));
        assert!(few.directory().after(&many.since(&few)).is_none());
    }
}
