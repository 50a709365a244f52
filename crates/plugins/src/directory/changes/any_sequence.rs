//! Whatever changes came one after another, the directory is the one that is made of everything.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use aws_lc_rs::hmac;
use futures_util::FutureExt as _;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::index::Index;
use super::*;

/// Names of consumers, and of credentials.
const NAMES: u8 = 6;
/// Values of secrets.
const SECRETS: u8 = 3;
/// Entities of a kind that stand in one part of a list.
const TOGETHER: u8 = 3;

/// What belongs to consumers.
const KINDS: [&str; 6] = [
    "keys",
    "passwords",
    "tokens",
    "signers",
    "applications",
    "groups",
];

#[derive(Clone, Debug)]
enum Step {
    Consumer { number: u8, username: Option<u8> },
    NoConsumer(u8),
    Credential { kind: usize, number: u8, row: Row },
    NoCredential { kind: usize, number: u8 },
}

#[derive(Clone, Copy, Debug)]
struct Row {
    owner: u8,
    name: u8,
    secret: u8,
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0..5u8, 0..NAMES, 0..SECRETS);
    let row = row.prop_map(|(owner, name, secret)| Row {
        owner,
        name,
        secret,
    });
    let credential = || (0..KINDS.len(), 0..8u8);
    prop_oneof![
        3 => (0..5u8, proptest::option::of(0..NAMES))
            .prop_map(|(number, username)| Step::Consumer { number, username }),
        1 => (0..5u8).prop_map(Step::NoConsumer),
        8 => (credential(), row)
            .prop_map(|((kind, number), row)| Step::Credential { kind, number, row }),
        2 => credential().prop_map(|(kind, number)| Step::NoCredential { kind, number }),
    ]
}

/// A configuration, as a database keeps it: names are unique, and owners are there.
#[derive(Default)]
struct Tables {
    consumers: BTreeMap<u8, Option<u8>>,
    credentials: [BTreeMap<u8, Row>; KINDS.len()],
}

impl Tables {
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Consumer { number, username } => {
                let mut others = self.consumers.iter().filter(|(other, _)| **other != number);
                if username.is_none() || !others.any(|(_, name)| *name == username) {
                    self.consumers.insert(number, username);
                }
            }
            Step::NoConsumer(number) => {
                self.consumers.remove(&number);
                for rows in &mut self.credentials {
                    rows.retain(|_, row| row.owner != number);
                }
            }
            Step::Credential { kind, number, row } => {
                let collides = |(other, held): (&u8, &Row)| {
                    let is_group = KINDS[kind] == "groups";
                    *other != number
                        && held.name == row.name
                        && (!is_group || held.owner == row.owner)
                };
                let rows = &mut self.credentials[kind];
                if self.consumers.contains_key(&row.owner) && !rows.iter().any(collides) {
                    rows.insert(number, row);
                }
            }
            Step::NoCredential { kind, number } => {
                self.credentials[kind].remove(&number);
            }
        }
    }

    fn rows(&self, kind: usize) -> BTreeMap<u8, Value> {
        let rows = self.credentials[kind].iter();
        rows.map(|(number, row)| (*number, credential(KINDS[kind], *number, *row)))
            .collect()
    }
}

fn id(kind: &str, number: u8) -> Uuid {
    let place = KINDS.iter().position(|known| *known == kind);
    let place = place.map_or(0, |place| place as u128 + 1);
    Uuid::from_u128(place << 64 | u128::from(number))
}

fn consumer(number: u8, username: Option<u8>) -> Value {
    let username = username.map(|name| format!("user-{name}"));
    json!({"id": id("consumers", number), "username": username, "custom_id": format!("c{number}")})
}

/// Of some kinds there are those that cannot be used.
fn credential(kind: &str, number: u8, row: Row) -> Value {
    let Row {
        owner,
        name,
        secret,
    } = row;
    let mut whole = match kind {
        "keys" => json!({"key": format!("key-{name}")}),
        "passwords" => json!({"username": format!("n{name}"), "password": format!("s{secret}")}),
        "tokens" => json!({
            "key": format!("k{name}"), "secret": format!("s{secret}"),
            "algorithm": (["HS256", "HS512", "none"][usize::from(secret)]),
        }),
        "signers" => json!({
            "username": format!("n{name}"),
            "secret": (secret > 0).then(|| format!("s{secret}")),
        }),
        "applications" => json!({
            "name": format!("a{number}"), "client_id": (name > 0).then(|| format!("i{name}")),
            "client_secret": format!("s{secret}"),
            "redirect_uris": [format!("https://r{secret}.test")],
        }),
        _ => json!({"group": format!("g{name}")}),
    };
    whole["id"] = json!(id(kind, number));
    whole["consumer"] = json!({"id": id("consumers", owner)});
    whole
}

/// A list in parts, of which those are the earlier list's that have not changed.
fn list<T: DeserializeOwned + PartialEq>(rows: &BTreeMap<u8, Value>, earlier: &List<T>) -> List<T> {
    let mut parts: BTreeMap<u8, Vec<Value>> = BTreeMap::new();
    for (number, row) in rows {
        let part = parts.entry(number / TOGETHER).or_default();
        part.push(row.clone());
    }
    let parts = parts.into_values().map(|rows| {
        let part: Vec<T> = serde_json::from_value(rows.into()).unwrap();
        let known = earlier.parts().iter().find(|known| known[..] == part[..]);
        known.map(Arc::clone).unwrap_or_else(|| part.into())
    });
    List::of(parts.collect())
}

#[derive(Default)]
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
    fn after(&self, tables: &Tables) -> Self {
        let consumers = tables.consumers.iter();
        let consumers = consumers.map(|(number, name)| (*number, consumer(*number, *name)));
        Self {
            consumers: list(&consumers.collect(), &self.consumers),
            keys: list(&tables.rows(0), &self.keys),
            passwords: list(&tables.rows(1), &self.passwords),
            tokens: list(&tables.rows(2), &self.tokens),
            signers: list(&tables.rows(3), &self.signers),
            applications: list(&tables.rows(4), &self.applications),
            groups: list(&tables.rows(5), &self.groups),
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

/// What an index holds, as text; `secret` tells what is left out otherwise.
fn held<K: Hash + Eq + Debug, V: Debug, S: BuildHasher>(
    index: &Index<K, V, S>,
    secret: impl Fn(&V) -> String,
) -> BTreeMap<String, String> {
    let held = index.held();
    held.map(|(key, value)| (format!("{key:?}"), format!("{value:?} {}", secret(value))))
        .collect()
}

/// Everything that a directory holds, secrets included.
fn told(directory: &Directory) -> Vec<BTreeMap<String, String>> {
    // Named one by one, so that what is added to a directory is added here.
    let Directory {
        consumers,
        by_username,
        identities,
        keys,
        passwords,
        tokens,
        signers,
        applications,
        client_ids,
        groups,
    } = directory;
    vec![
        held(consumers, |_| String::new()),
        held(by_username, |_| String::new()),
        held(identities, |_| String::new()),
        held(keys, |_| String::new()),
        held(passwords, |own| format!("{} {}", own.consumer, own.digest)),
        held(tokens, |own| {
            let mut stored = None;
            let _ = own.verify(b"", b"", |secret| {
                stored = Some(secret.to_owned());
                None
            });
            format!("{} {stored:?}", own.consumer)
        }),
        held(signers, |own| {
            let signs = (0..SECRETS).filter(|secret| {
                let key = hmac::Key::new(hmac::HMAC_SHA256, format!("s{secret}").as_bytes());
                own.signs(hmac::HMAC_SHA256, hmac::sign(&key, b"").as_ref(), |_| {})
            });
            format!("{} {:?}", own.consumer, signs.collect::<Vec<_>>())
        }),
        held(applications, |own| {
            let proves = (0..SECRETS).filter(|secret| {
                let given = format!("s{secret}");
                own.is_secret(&given).now_or_never().unwrap()
            });
            let proves: Vec<_> = proves.collect();
            let (owner, uris) = (own.consumer, &own.redirect_uris);
            format!("{owner} {uris:?} {:?} {proves:?}", own.header)
        }),
        held(client_ids, |_| String::new()),
        held(groups, |_| String::new()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changes_lead_to_the_directory_of_everything(
        snapshots in prop::collection::vec(prop::collection::vec(step(), 0..5), 1..25),
    ) {
        let mut tables = Tables::default();
        let mut lists = Lists::default();
        let mut directory = lists.directory();
        for steps in &snapshots {
            for step in steps {
                tables.take(step);
            }
            let next = lists.after(&tables);
            directory = directory.after(&next.since(&lists)).unwrap();
            prop_assert_eq!(told(&directory), told(&next.directory()));
            lists = next;
        }
    }
}
