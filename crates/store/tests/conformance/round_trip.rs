//! What every store gives back of what was put into it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use keelgate_entities::Schemas;
use keelgate_entities::declarative::{Table, dump, parse, parse_text, to_yaml};
use keelgate_plugins::Registry;
use keelgate_store::{Import, Store, StoreExt};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::configuration::{Configuration, TIME_TO_LIVE, configurations};

/// Imports made-up configurations into `one`, its exports into `other`, and compares what both export.
/// The same cases in every run.
pub fn round_trip(runtime: &Runtime, one: &dyn Store, other: &dyn Store, cases: u32) {
    let schemas = Schemas::new(Registry::schemas_with_database());
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(plan(cases), rng);
    let outcome = runner.run(&configurations(), |configuration| {
        let given = read(&written(&configuration), &schemas)?;
        let first = runtime.block_on(through(one, given.clone()));
        if first != dump(&given) {
            return Err(TestCaseError::fail(difference(&dump(&given), &first)));
        }
        let again = read(&as_text(&first, configuration.chooses(63)), &schemas)?;
        let second = runtime.block_on(through(other, again));
        if first != second {
            return Err(TestCaseError::fail(difference(&first, &second)));
        }
        let kinds: BTreeSet<_> = given.iter().map(|(kind, _)| kind).collect();
        let all = schemas.kinds().iter().filter(|schema| !schema.record);
        assert_eq!(kinds, all.map(|schema| schema.name).collect());
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

fn plan(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

/// Both forms of a configuration are the same table.
pub fn forms_are_the_same(cases: u32) {
    let schemas = Schemas::new(Registry::schemas_with_database());
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(plan(cases), rng);
    let outcome = runner.run(&configurations(), |configuration| {
        if configuration.has_ids() && !configuration.hashes_secrets() {
            let [nested, flat] = [configuration.nested(), configuration.flat()]
                .map(|document| read(&as_text(&document, false), &schemas));
            let (nested, flat) = (dump(&nested?), dump(&flat?));
            if nested != flat {
                return Err(TestCaseError::fail(difference(&nested, &flat)));
            }
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

fn written(configuration: &Configuration) -> String {
    let document = match configuration.chooses(61) {
        true => configuration.nested(),
        false => configuration.flat(),
    };
    as_text(&document, configuration.chooses(62))
}

fn as_text(document: &Value, json: bool) -> String {
    match json {
        true => document.to_string(),
        false => to_yaml(document),
    }
}

fn read(text: &str, schemas: &Schemas) -> Result<Table, TestCaseError> {
    // Always the same time: what is written anew is the same, too.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let document = parse_text(text).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let table = parse(document, schemas, now);
    table.map_err(|refused| TestCaseError::fail(format!("{refused}\n{text}")))
}

async fn through(store: &dyn Store, table: Table) -> Value {
    store.import(table, Import::Replace).await.unwrap();
    let mut exported = dump(&store.export().await.unwrap().1);
    // What is left of it shrinks meanwhile.
    let credentials = exported["keyauth_credentials"].as_array_mut();
    for credential in credentials.into_iter().flatten() {
        if let Some(left) = credential["ttl"].as_u64() {
            assert!((1..=TIME_TO_LIVE).contains(&left), "{left}");
            credential["ttl"] = TIME_TO_LIVE.into();
        }
    }
    exported
}

/// The first lines that differ.
fn difference(one: &Value, other: &Value) -> String {
    let (one, other) = (to_yaml(one), to_yaml(other));
    let mut lines = one.lines().zip(other.lines());
    let found = lines.find(|(one, other)| one != other);
    format!("{found:?} in {} and {} bytes", one.len(), other.len())
}
