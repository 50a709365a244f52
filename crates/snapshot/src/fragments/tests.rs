use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A table with routes and consumers by number, each with a mark.
fn table(routes: &BTreeMap<u32, u32>, consumers: &BTreeMap<u32, u32>) -> Map<String, Value> {
    let rows = |entities: &BTreeMap<u32, u32>| -> Vec<Value> {
        let rows = entities.iter();
        rows.map(|(number, mark)| row(*number, *mark)).collect()
    };
    let mut table = json!({
        "_format_version": "3.0", "_transform": false,
        "parameters": [{"key": "cluster_id", "value": "x", "created_at": null}],
    });
    for (name, entities) in [("routes", routes), ("consumers", consumers)] {
        if !entities.is_empty() {
            table[name] = rows(entities).into();
        }
    }
    table.as_object().unwrap().clone()
}

fn row(number: u32, mark: u32) -> Value {
    let tags: Vec<_> = (0..mark % 9).map(|tag| format!("{tag}")).collect();
    json!({"id": id(number), "name": format!("Ä\n{mark}"), "tags": tags, "x": {"y": 0.5}})
}

fn id(number: u32) -> Uuid {
    Uuid::from_u128(u128::from(number) << 64)
}

fn put(changes: &mut Changes, collection: &str, number: u32, mark: Option<u32>) {
    let row = mark.map(|mark| row(number, mark).to_string());
    changes.put(collection, id(number), row).unwrap();
}

fn is_whole(fragments: &Fragments, table: &Map<String, Value>) {
    let text = serde_json::to_string(table).unwrap();
    assert_eq!(fragments.text(), Fragments::of(table).unwrap().text());
    assert_eq!(fragments.bytes(), fragments.text().len());
    let value: Value = serde_json::from_str(&fragments.text()).unwrap();
    assert_eq!(value, serde_json::from_str::<Value>(&text).unwrap());
}

#[test]
fn a_text_that_comes_out_again_can_be_taken_apart() {
    let numbers = (0..1000).map(|number| (number, number)).collect();
    let text = Fragments::of(&table(&numbers, &BTreeMap::new()))
        .unwrap()
        .text();
    let fragments = Fragments::parse(&text).unwrap();
    assert_eq!(fragments.text(), text);
    assert_eq!(fragments.chunks("routes").unwrap().len(), 8);
    assert!(fragments.chunks("parameters").is_none());
    for other in [
        "{ }",
        r#"{"b":1,"a":2}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":[1, 2]} "#,
        r#"{"\u0061":1}"#,
        "[]",
        "{",
    ] {
        assert!(Fragments::parse(other).is_none(), "{other}");
    }
    for other in ["{}", r#"{"a":[]}"#, r#"{"a":[1, 2],"b":{"x":1}}"#] {
        assert_eq!(Fragments::parse(other).unwrap().text(), other);
    }
}

#[test]
fn lists_that_are_not_in_order_stay_as_they_are() {
    let (one, two) = (row(1, 1), row(2, 2));
    for list in [
        json!([two, one]),
        json!([one, one]),
        json!([one, {"name": "x"}]),
        json!([one, {"id": "FF000000-0000-0000-0000-000000000000"}]),
    ] {
        let table = json!({ "routes": list });
        let fragments = Fragments::of(table.as_object().unwrap()).unwrap();
        assert!(fragments.chunks("routes").is_none());
        assert_eq!(fragments.text(), table.to_string());
        let mut changes = Changes::default();
        put(&mut changes, "routes", 3, Some(3));
        let refused = fragments.changed(&changes).unwrap_err();
        assert_eq!(refused, Unfit::NoRows("routes".to_owned()));
    }
}

#[test]
fn an_entity_under_the_id_of_another_and_one_that_is_changed_twice_are_refused() {
    let fragments = Fragments::parse("{}").unwrap();
    let mut changes = Changes::default();
    changes
        .put("routes", id(1), Some(row(2, 0).to_string()))
        .unwrap();
    assert!(matches!(
        fragments.changed(&changes),
        Err(Unfit::Other { .. })
    ));
    let mut changes = Changes::default();
    put(&mut changes, "routes", 1, Some(1));
    put(&mut changes, "routes", 1, None);
    assert!(matches!(
        fragments.changed(&changes),
        Err(Unfit::Twice { .. })
    ));
}

#[test]
fn a_change_writes_one_chunk_anew() {
    let numbers = (0..10_000).map(|number| (number, number)).collect();
    let before = Fragments::of(&table(&numbers, &BTreeMap::new())).unwrap();
    let mut changes = Changes::default();
    put(&mut changes, "routes", 5000, Some(1));
    let after = before.changed(&changes).unwrap();
    let known = addresses(before.chunks("routes").unwrap());
    let new = after.chunks("routes").unwrap().iter();
    assert_eq!(
        new.filter(|chunk| !known.contains(&Arc::as_ptr(chunk)))
            .count(),
        1
    );
}

/// What hashes and digests give when nothing is known.
fn from_scratch(fragments: &Fragments) -> (Digest, String) {
    let text = fragments.text();
    let hashes = Hashes::of(&text).unwrap();
    (Digest::of(text.as_bytes()), hashes.config)
}

fn after(fragments: &Fragments, base: &Fragments) -> (Digest, String) {
    let hashes = fragments.hashes_after(Some(base)).unwrap();
    (fragments.digest_after(Some(base)), hashes.config)
}

#[test]
fn hashes_go_on_across_the_places_where_kong_folds() {
    let numbers: BTreeMap<u32, u32> = (0..15_000).map(|number| (number, number)).collect();
    let mut fragments = Fragments::of(&table(&numbers, &numbers)).unwrap();
    assert!(fragments.bytes() > 2_000_000);
    let nothing = Fragments::parse("{}").unwrap();
    assert_eq!(after(&fragments, &nothing), from_scratch(&fragments));
    for number in [14_999, 7000, 3, 15_001] {
        for collection in ["routes", "consumers"] {
            let mut changes = Changes::default();
            put(&mut changes, collection, number, Some(number / 2));
            let next = fragments.changed(&changes).unwrap();
            assert_eq!(after(&next, &fragments), from_scratch(&next));
            fragments = next;
        }
    }
}

/// Changes to routes or consumers: of the first kind, this number, this mark or nothing.
fn steps() -> impl Strategy<Value = Vec<Vec<(bool, u32, Option<u32>)>>> {
    let change = (any::<bool>(), 0..700_u32, proptest::option::of(0..50_u32));
    proptest::collection::vec(proptest::collection::vec(change, 0..200), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn changes_lead_to_what_is_written_whole(steps in steps(), start in 0..600_u32) {
        let mut routes: BTreeMap<u32, u32> = (0..start).map(|number| (number, 1)).collect();
        let mut consumers = BTreeMap::new();
        let mut fragments = Fragments::of(&table(&routes, &consumers)).unwrap();
        let first = fragments.clone();
        for step in steps {
            let last: BTreeMap<_, _> = step
                .into_iter()
                .map(|(is_route, number, mark)| ((is_route, number), mark))
                .collect();
            let mut changes = Changes::default();
            for ((is_route, number), mark) in last {
                let entities = if is_route { &mut routes } else { &mut consumers };
                match mark {
                    Some(mark) => entities.insert(number, mark),
                    None => entities.remove(&number),
                };
                let collection = if is_route { "routes" } else { "consumers" };
                put(&mut changes, collection, number, mark);
            }
            let next = fragments.changed(&changes).unwrap();
            is_whole(&next, &table(&routes, &consumers));
            prop_assert_eq!(after(&next, &fragments), from_scratch(&next));
            let found = next.changes_since(&fragments).unwrap();
            prop_assert_eq!(fragments.changed(&found).unwrap().text(), next.text());
            fragments = next;
        }
        let all = fragments.changes_since(&first).unwrap();
        prop_assert_eq!(first.changed(&all).unwrap().text(), fragments.text());
        prop_assert_eq!(Fragments::parse(&fragments.text()).unwrap().text(), fragments.text());
    }
}
