//! What every store answers.

use keelgate_store::{Key, Page, PageRequest, Parent, Store, StoreError, StoreExt, TagFilter};
use serde_json::Value;

use super::{id, rejection, schemas, service, table};

/// Runs on a store that holds [`table`].
pub async fn reads(store: &dyn Store) {
    finds_by_id_and_by_unique_key(store).await;
    pages_in_id_order(store).await;
    filters_by_parent(store).await;
    filters_by_tags(store).await;
    lists_tags(store).await;
    refuses_bad_pages(store).await;
    exports_what_it_holds(store).await;
    a_view_reads_and_cannot_write(store).await;
}

async fn finds_by_id_and_by_unique_key(store: &dyn Store) {
    let expected = Some(service(2, "s2", &["red", "blue"]));
    assert_eq!(
        store.get("services", Key::Id(id(2))).await.unwrap(),
        expected
    );
    let by_name = store.get("services", Key::field("name", "s2")).await;
    assert_eq!(by_name.unwrap(), expected);
    let none = store.get("services", Key::field("name", "s9")).await;
    assert_eq!(none.unwrap(), None);
    let none = store.get("routes", Key::Id(id(2))).await;
    assert_eq!(none.unwrap(), None);
    assert!(matches!(
        store.get("nonsense", Key::Id(id(2))).await,
        Err(StoreError::UnknownKind(_))
    ));
}

async fn pages_in_id_order(store: &dyn Store) {
    let mut request = PageRequest {
        size: 2,
        ..PageRequest::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = store.page("services", request.clone()).await.unwrap();
        pages.push(ids(&page));
        request.offset = page.offset;
        if request.offset.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec![id(1), id(2)], vec![id(3), id(4)], vec![id(5)]]);
    request.size = 5;
    let page = store.page("services", request).await.unwrap();
    assert_eq!(page.offset, None, "an exactly full page is the last one");
}

async fn filters_by_parent(store: &dyn Store) {
    let request = PageRequest {
        parent: Some(Parent {
            field: "service".to_owned(),
            id: id(1),
        }),
        ..PageRequest::default()
    };
    let page = store.page("routes", request).await.unwrap();
    assert_eq!(ids(&page), [id(11), id(13)]);
}

async fn filters_by_tags(store: &dyn Store) {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    for (filter, expected) in [
        (TagFilter::All(words(&["red"])), vec![id(1), id(2)]),
        (TagFilter::All(words(&["red", "blue"])), vec![id(2)]),
        (
            TagFilter::Any(words(&["blue", "green"])),
            vec![id(2), id(3), id(4)],
        ),
        (TagFilter::All(words(&["none"])), vec![]),
    ] {
        let request = PageRequest {
            tags: Some(filter.clone()),
            ..PageRequest::default()
        };
        let page = store.page("services", request).await.unwrap();
        assert_eq!(ids(&page), expected, "{filter:?}");
    }
}

async fn lists_tags(store: &dyn Store) {
    let uses = |page: keelgate_store::TagPage| -> Vec<_> {
        let uses = page.data.into_iter();
        uses.map(|tagged| (tagged.tag, tagged.kind, tagged.id))
            .collect()
    };
    let tag = |tag: &str, number| (tag.to_owned(), "services".to_owned(), id(number));
    let red = store.tagged(Some("red".to_owned()), 100, None).await;
    assert_eq!(uses(red.unwrap()), [tag("red", 1), tag("red", 2)]);
    let first = store.tagged(None, 3, None).await.unwrap();
    let offset = first.offset.clone();
    assert_eq!(
        uses(first),
        [tag("blue", 2), tag("blue", 3), tag("green", 4)]
    );
    let second = store.tagged(None, 3, offset).await.unwrap();
    assert_eq!(second.offset, None);
    assert_eq!(uses(second), [tag("red", 1), tag("red", 2)]);
}

async fn refuses_bad_pages(store: &dyn Store) {
    for size in [0, 1001] {
        let request = PageRequest {
            size,
            ..PageRequest::default()
        };
        let error = rejection(store.page("services", request).await);
        assert_eq!((error.code, error.status()), (9, 400));
    }
    let request = PageRequest {
        offset: Some("xyz".to_owned()),
        ..PageRequest::default()
    };
    let error = rejection(store.page("services", request).await);
    assert_eq!((error.code, error.status()), (7, 400));
}

async fn exports_what_it_holds(store: &dyn Store) {
    let (position, exported) = store.export().await.unwrap();
    assert_eq!(exported, table(&schemas()));
    assert_eq!(position, store.position().await.unwrap());
    assert_eq!(position.revision, *store.subscribe().borrow());
}

async fn a_view_reads_and_cannot_write(store: &dyn Store) {
    let routes = store.read(|view| view.children("routes", "service", "services", &id(1)));
    let routes: Result<_, StoreError> = routes.await;
    assert_eq!(routes.unwrap().len(), 2);
    let before = store.position().await.unwrap();
    let written = store.read(|view| view.insert("services", &service(9, "s9", &[])));
    let written: Result<(), StoreError> = written.await;
    assert!(written.is_err());
    assert_eq!(store.position().await.unwrap(), before);
    let none = store.get("services", Key::Id(id(9))).await;
    assert_eq!(none.unwrap(), None);
}

fn ids(page: &Page) -> Vec<String> {
    let ids = page.data.iter().map(|entity| &entity["id"]);
    ids.filter_map(Value::as_str).map(str::to_owned).collect()
}
