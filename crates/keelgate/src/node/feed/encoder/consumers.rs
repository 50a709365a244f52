//! Who may call, on the whole way from the store to what a data plane compiles: change by change, and
//! all at once.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use keelgate_entities::{ApiError, RouterFlavor};
use keelgate_plugins::{Directory, Registry};
use keelgate_runtime::{Env, Runtime};
use keelgate_snapshot::{Decoded, Snapshot, build_after};
use keelgate_store::{SqliteStore, StoreError, StoreExt as _};
use proptest::prelude::*;
use serde_json::json;

use super::super::place;
use super::*;
use crate::node::certificates;

/// Of each kind there are at most so many, and as many names.
const MOST: u32 = 5;

const KINDS: [&str; 7] = [
    "consumers",
    "keyauth_credentials",
    "basicauth_credentials",
    "jwt_secrets",
    "hmacauth_credentials",
    "oauth2_credentials",
    "acls",
];

#[derive(Clone, Debug)]
struct Step {
    kind: usize,
    number: u32,
    /// Removes it where there is none.
    made: Option<(u32, u32)>,
}

fn step() -> impl Strategy<Value = Step> {
    // Consumers come first, so that there are owners.
    let kind = prop_oneof![2 => Just(0), 5 => 1..KINDS.len()];
    let made = proptest::option::weighted(0.8, (0..MOST, 0..MOST));
    (kind, 0..MOST, made).prop_map(|(kind, number, made)| Step { kind, number, made })
}

fn id(kind: &str, number: u32) -> Uuid {
    Uuid::new_v5(&Uuid::nil(), format!("{kind} {number}").as_bytes())
}

fn entity(kind: &str, number: u32, owner: u32, name: u32) -> Value {
    let text = format!("name-{name}");
    let mut entity = match kind {
        "consumers" => json!({"username": text, "custom_id": format!("{owner}")}),
        "keyauth_credentials" | "jwt_secrets" => json!({"key": text}),
        "basicauth_credentials" => json!({"username": text, "password": "x"}),
        "hmacauth_credentials" => json!({"username": text}),
        "oauth2_credentials" => json!({"name": text, "client_id": text}),
        _ => json!({"group": text}),
    };
    entity["id"] = json!(id(kind, number));
    if kind != "consumers" {
        entity["consumer"] = json!({"id": id("consumers", owner)});
    }
    entity
}

/// As a request does it; what breaks a rule changes nothing.
async fn take(store: &SqliteStore, step: &Step) {
    let kind = KINDS[step.kind];
    let id = id(kind, step.number).to_string();
    let Some((owner, name)) = step.made else {
        store.delete(kind, &id).await.unwrap();
        return;
    };
    let Value::Object(input) = entity(kind, step.number, owner, name) else {
        unreachable!("an entity is an object")
    };
    let now = UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let whole = store.schemas().upsert(kind, None, input, now).unwrap();
    let written: Result<(), StoreError> = store
        .write(move |transaction| transaction.put(kind, &whole))
        .await;
    match written {
        Ok(()) | Err(StoreError::Rejected(ApiError { .. })) => {}
        Err(error) => panic!("{error}"),
    }
}

struct NoPlugins;

impl keelgate_runtime::Plugins for NoPlugins {
    fn compile(
        &self,
        plugin: &keelgate_entities::kinds::Plugin,
        _directory: &Arc<Directory>,
    ) -> Result<Arc<dyn keelgate_plugins::Plugin>, String> {
        unreachable!("there is no plugin {}", plugin.name)
    }

    fn priority(&self, _name: &str) -> Option<i32> {
        None
    }
}

fn environment() -> Env {
    let made = rcgen::generate_simple_self_signed(vec!["default".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    Env {
        plugins: Arc::new(NoPlugins),
        flavor: RouterFlavor::default(),
        default_certificate: certificates::certified(cert.as_bytes(), key.as_bytes()).unwrap(),
        trusted: Arc::new(rustls::RootCertStore::empty()),
        verify_upstreams: false,
        client_certificate: None,
        secrets: None,
    }
}

fn snapshot(encoded: &Encoded, base: Option<&Fragments>) -> Snapshot {
    let (fragments, position) = (encoded.fragments.clone(), place(encoded.position));
    build_after(fragments, base, position, "0.1.0", SystemTime::now(), None).unwrap()
}

/// What plugins find.
fn told(directory: &Directory) -> Vec<String> {
    let known = |consumer: &keelgate_entities::kinds::Consumer| {
        let groups = directory
            .groups(consumer)
            .map(keelgate_plugins::directory::Groups::names);
        format!("{consumer:?} {:?} {groups:?}", directory.identity(consumer))
    };
    let mut told = Vec::new();
    for number in 0..MOST {
        let name = format!("name-{number}");
        let by_id = id("consumers", number).to_string();
        let application = directory.client(&name);
        told.extend([
            format!("{:?}", directory.consumer(&by_id).map(known)),
            format!("{:?}", directory.consumer(&name).map(known)),
            format!(
                "{:?}",
                directory
                    .key(name.as_bytes())
                    .map(|(key, own)| (key, known(own)))
            ),
            format!(
                "{:?}",
                directory
                    .password(&name, b"x")
                    .map(|(one, own)| (one, known(own)))
            ),
            format!("{:?}", directory.has_password(&name)),
            format!(
                "{:?}",
                directory.jwt(&name).map(|(jwt, own)| (jwt, known(own)))
            ),
            format!(
                "{:?}",
                directory
                    .hmac_auth(&name)
                    .map(|(one, own)| (one, known(own)))
            ),
            format!("{application:?}"),
            format!(
                "{:?}",
                application.and_then(|own| Some(known(directory.application(own.id)?.1)))
            ),
        ]);
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn who_may_call_is_the_same_change_by_change_and_all_at_once(
        commits in prop::collection::vec(prop::collection::vec(step(), 1..6), 1..12),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let schemas = Arc::new(Schemas::new(Registry::schemas()));
        let store = SqliteStore::open(&folder.path().join("keelgate.db"), schemas).unwrap();
        let env = environment();
        let compile = |decoded: &Decoded, previous: Option<&Runtime>| {
            Runtime::compile(decoded.config.clone(), "test".to_owned(), &env, previous).unwrap()
        };
        let mut encoder = Encoder::default();
        let mut last: Option<(Decoded, Runtime)> = None;
        for steps in &commits {
            let (next, base) = runtime.block_on(async {
                for step in steps {
                    take(&store, step).await;
                }
                encoder.next(&store).await.unwrap()
            });
            let (decoded, previous) = last.as_ref().map_or((None, None), |(decoded, previous)| {
                (Some(decoded), Some(previous))
            });
            let decoded = snapshot(&next, base.as_ref()).decode_after(decoded).unwrap();
            let served = compile(&decoded, previous);

            let (whole, _) = runtime.block_on(Encoder::default().next(&store)).unwrap();
            let document = snapshot(&whole, None).document().clone();
            let whole = keelgate_snapshot::accept_unsigned(document).unwrap();
            let anew = compile(&whole.decode().unwrap().into(), None);
            prop_assert_eq!(told(served.directory()), told(anew.directory()));
            last = Some((decoded, served));
        }
    }
}
