//! What every storage does.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use keelgate_fallback::{ErrorKind, Operation, open};

use crate::bed::Bed;

const LIMIT: u64 = 64 << 20;

pub(crate) async fn a_missing_object_is_not_found(bed: &Bed) {
    let error = bed
        .open()
        .get("0.1.0/config.json", None, LIMIT)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(error.operation, Operation::Read);
    let text = error.to_string();
    assert!(text.contains(&bed.location.to_string()), "{text}");
    assert!(text.contains("0.1.0/config.json"), "{text}");
}

pub(crate) async fn what_was_created_is_read(bed: &Bed) {
    let storage = bed.open();
    let version = storage
        .put_if_absent("v/config.json", "one".into())
        .await
        .unwrap();
    let object = storage.get("v/config.json", None, LIMIT).await.unwrap();
    assert_eq!(object.bytes, "one");
    assert_eq!(object.version, version);
}

pub(crate) async fn a_create_never_overwrites(bed: &Bed) {
    let storage = bed.open();
    storage
        .put_if_absent("v/config.json", "one".into())
        .await
        .unwrap();
    let error = storage
        .put_if_absent("v/config.json", "two".into())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists);
    assert_eq!(
        storage
            .get("v/config.json", None, LIMIT)
            .await
            .unwrap()
            .bytes,
        "one"
    );
}

pub(crate) async fn a_replace_needs_the_version_that_was_read(bed: &Bed) {
    let storage = bed.open();
    let first = storage
        .put_if_absent("v/config.json", "one".into())
        .await
        .unwrap();
    let second = storage
        .put_if_match("v/config.json", "two".into(), &first)
        .await
        .unwrap();
    assert_ne!(first, second);
    let error = storage
        .put_if_match("v/config.json", "late".into(), &first)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Precondition);
    let object = storage.get("v/config.json", None, LIMIT).await.unwrap();
    assert_eq!((object.bytes, object.version), (Bytes::from("two"), second));
}

pub(crate) async fn a_replace_of_a_deleted_object_fails(bed: &Bed) {
    let storage = bed.open();
    let version = storage
        .put_if_absent("v/config.json", "one".into())
        .await
        .unwrap();
    storage.delete("v/config.json").await.unwrap();
    let error = storage
        .put_if_match("v/config.json", "two".into(), &version)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Precondition);
}

pub(crate) async fn of_concurrent_creates_one_wins(bed: &Bed) {
    let storages: Vec<_> = (0..8).map(|_| bed.open()).collect();
    let results = futures_util::future::join_all(storages.iter().enumerate().map(
        |(n, storage)| async move {
            storage
                .put_if_absent("v/lease.json", format!("writer {n}").into())
                .await
        },
    ))
    .await;
    let winners: Vec<usize> = (0..8).filter(|n| results[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    let object = storages[0].get("v/lease.json", None, LIMIT).await.unwrap();
    assert_eq!(object.bytes, format!("writer {}", winners[0]));
}

pub(crate) async fn of_concurrent_replaces_of_one_version_one_wins(bed: &Bed) {
    let storage = bed.open();
    let version = storage
        .put_if_absent("v/lease.json", "start".into())
        .await
        .unwrap();
    let results = futures_util::future::join_all((0..8).map(|n| {
        let (storage, version) = (&storage, &version);
        async move {
            storage
                .put_if_match("v/lease.json", format!("{n}").into(), version)
                .await
        }
    }))
    .await;
    assert_eq!(
        results.iter().filter(|result| result.is_ok()).count(),
        1,
        "{results:?}"
    );
}

pub(crate) async fn no_increment_of_concurrent_writers_is_lost(bed: &Bed) {
    let storage = bed.open();
    storage.put_if_absent("v/count", "0".into()).await.unwrap();
    futures_util::future::join_all((0..4).map(|_| {
        let storage = bed.open();
        async move {
            for _ in 0..10 {
                loop {
                    let object = storage.get("v/count", None, LIMIT).await.unwrap();
                    let count: u32 = std::str::from_utf8(&object.bytes).unwrap().parse().unwrap();
                    let next = (count + 1).to_string().into();
                    match storage.put_if_match("v/count", next, &object.version).await {
                        Ok(_) => break,
                        Err(error) => assert!(
                            matches!(error.kind, ErrorKind::Precondition | ErrorKind::Unavailable),
                            "{error}"
                        ),
                    }
                }
            }
        }
    }))
    .await;
    assert_eq!(
        storage.get("v/count", None, LIMIT).await.unwrap().bytes,
        "40"
    );
}

pub(crate) async fn an_unchanged_object_is_not_sent_again(bed: &Bed) {
    let storage = bed.open();
    let first = storage
        .put_if_absent("v/config.json", "one".into())
        .await
        .unwrap();
    let error = storage
        .get("v/config.json", Some(&first), LIMIT)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotModified);
    storage
        .put_if_match("v/config.json", "two".into(), &first)
        .await
        .unwrap();
    let object = storage
        .get("v/config.json", Some(&first), LIMIT)
        .await
        .unwrap();
    assert_eq!(object.bytes, "two");
}

pub(crate) async fn a_large_object_survives_and_the_limit_holds(bed: &Bed) {
    let storage = bed.open();
    let large: Bytes = (0..40_u32 << 20)
        .map(|n| (n % 251) as u8)
        .collect::<Vec<_>>()
        .into();
    let size = large.len() as u64;
    storage
        .put_if_absent("v/config.json", large.clone())
        .await
        .unwrap();
    let read = storage.get("v/config.json", None, size).await.unwrap();
    assert!(read.bytes == large);
    let error = storage
        .get("v/config.json", None, size - 1)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
}

pub(crate) async fn an_unconditional_write_replaces_whatever_is_there(bed: &Bed) {
    let storage = bed.open();
    let first = storage.put("v/config.json", "one".into()).await.unwrap();
    let second = storage.put("v/config.json", "two".into()).await.unwrap();
    assert_ne!(first, second);
    let object = storage.get("v/config.json", None, LIMIT).await.unwrap();
    assert_eq!((object.bytes, object.version), (Bytes::from("two"), second));
    // What compares sees the new state.
    let error = storage
        .put_if_match("v/config.json", "three".into(), &first)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Precondition);
}

pub(crate) async fn an_empty_object_is_an_object(bed: &Bed) {
    let storage = bed.open();
    storage.put("v/empty", Bytes::new()).await.unwrap();
    let object = storage.get("v/empty", None, 0).await.unwrap();
    assert!(object.bytes.is_empty());
    assert_eq!(storage.list("v").await.unwrap()[0].bytes, 0);
}

pub(crate) async fn lists_show_the_objects_of_one_folder(bed: &Bed) {
    let storage = bed.open();
    assert!(storage.list("v/history").await.unwrap().is_empty());
    for (key, content) in [
        ("v/config.json", "x"),
        ("v/history/1-1-aa.json", "x"),
        ("v/history/1-2-bb.json", "four"),
        ("v/history/deeper/1-3-cc.json", "x"),
        ("w/history/9-9-ff.json", "x"),
    ] {
        storage.put_if_absent(key, content.into()).await.unwrap();
    }
    let mut listed = storage.list("v/history").await.unwrap();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    let shown: Vec<_> = listed.iter().map(|one| (&*one.name, one.bytes)).collect();
    assert_eq!(shown, [("1-1-aa.json", 1), ("1-2-bb.json", 4)]);
    for one in &listed {
        let age = SystemTime::now().duration_since(one.modified.unwrap());
        assert!(age.unwrap_or_default() < Duration::from_secs(3600));
    }
}

pub(crate) async fn folders_name_the_versions(bed: &Bed) {
    let storage = bed.open();
    assert!(storage.folders().await.unwrap().is_empty());
    for key in [
        "0.1.0/config.json",
        "0.2.0/config.json",
        "0.2.0/history/1-1-aa.json",
    ] {
        storage.put_if_absent(key, "x".into()).await.unwrap();
    }
    let mut folders = storage.folders().await.unwrap();
    folders.sort();
    assert_eq!(folders, ["0.1.0", "0.2.0"]);
}

pub(crate) async fn a_deleted_object_is_gone_and_may_be_deleted_again(bed: &Bed) {
    let storage = bed.open();
    storage.put_if_absent("v/x", "x".into()).await.unwrap();
    storage.delete("v/x").await.unwrap();
    storage.delete("v/x").await.unwrap();
    assert_eq!(
        storage.get("v/x", None, LIMIT).await.unwrap_err().kind,
        ErrorKind::NotFound
    );
}

pub(crate) async fn keys_that_are_not_plain_are_refused(bed: &Bed) {
    let storage = bed.open();
    for key in [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a//b",
        "a/",
        "a/.hidden",
        "a b",
        "a?b",
        "a%2e",
        "\u{e4}",
        "",
    ] {
        let errors = [
            storage.get(key, None, LIMIT).await.unwrap_err(),
            storage.put(key, "x".into()).await.unwrap_err(),
            storage.put_if_absent(key, "x".into()).await.unwrap_err(),
            storage.delete(key).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind, ErrorKind::Invalid, "{key:?}: {error}");
        }
    }
}

pub(crate) async fn an_operation_that_takes_too_long_is_given_up(bed: &Bed) {
    let (storage, _stall) = bed.stalled();
    let error = match storage.writable() {
        true => storage.put("v/config.json", "x".into()).await.unwrap_err(),
        false => storage.get("v/config.json", None, LIMIT).await.unwrap_err(),
    };
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("in time"), "{error}");
}

pub(crate) async fn a_missing_container_is_told_apart_from_a_missing_object(bed: &Bed) {
    let storage = open(&bed.nowhere, &bed.settings).unwrap();
    let error = storage.put("v/config.json", "x".into()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoContainer, "{error}");
    let text = error.to_string();
    assert!(text.contains(&bed.nowhere.to_string()), "{text}");
    assert!(text.contains("cluster_fallback_config_storage"), "{text}");
}

pub(crate) async fn refused_credentials_are_told_and_never_shown(bed: &Bed) {
    let Some(wrong) = &bed.wrong_credentials else {
        return;
    };
    let storage = open(&bed.location, &wrong.settings).unwrap();
    let errors = [
        storage.get("v/config.json", None, LIMIT).await.unwrap_err(),
        storage.put("v/config.json", "x".into()).await.unwrap_err(),
        storage.list("v").await.unwrap_err(),
        storage.delete("v/config.json").await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        let text = error.to_string();
        assert!(text.contains(&bed.location.to_string()), "{text}");
        assert!(text.contains(wrong.named), "{text}");
        let all = format!("{text} {error:?} {storage:?} {:?}", wrong.settings);
        assert!(!all.contains(wrong.secret), "{all}");
    }
}
