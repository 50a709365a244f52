use std::time::Duration;

use keelgate_snapshot::{Position, accept_unsigned, build, is_sealed};
use uuid::Uuid;

use super::*;

fn plain(directory: PathBuf) -> Cache {
    Cache::new(directory, None)
}

fn snapshot(revision: u64) -> Snapshot {
    stated(revision, 0)
}

/// A revision that was made or restated so many seconds after the beginning of time.
fn stated(revision: u64, seconds: u64) -> Snapshot {
    let config = serde_json::json!({"_format_version": "3.0", "note": revision});
    let position = Position {
        cluster_id: Uuid::from_u128(1),
        epoch: 1,
        revision,
    };
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    build(&config, position, "0.1.0", at, None).unwrap()
}

fn verify() -> Verify {
    Arc::new(accept_unsigned)
}

fn revisions(cache: &mut Cache) -> Vec<u64> {
    let loaded = cache.load(&verify());
    loaded
        .good
        .iter()
        .map(|good| good.identity().revision)
        .collect()
}

#[test]
fn the_last_two_documents_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = plain(folder.path().join("cache"));
    assert!(revisions(&mut cache).is_empty());
    for revision in 1..=3 {
        cache.store(&snapshot(revision)).unwrap();
    }
    let mut next_life = plain(folder.path().join("cache"));
    assert_eq!(revisions(&mut next_life), [3, 2]);
}

#[test]
fn a_damaged_document_is_refused_and_does_not_push_out_the_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = plain(folder.path().into());
    cache.store(&snapshot(1)).unwrap();
    cache.store(&snapshot(2)).unwrap();
    let current = folder.path().join(CURRENT);
    let bytes = fs::read(&current).unwrap();
    fs::write(&current, &bytes[..bytes.len() / 2]).unwrap();

    let mut next_life = plain(folder.path().into());
    let loaded = next_life.load(&verify());
    assert_eq!(loaded.good.len(), 1);
    assert!(
        loaded.refused[0].to_string().contains("truncated"),
        "{}",
        loaded.refused[0]
    );
    next_life.store(&snapshot(3)).unwrap();
    assert_eq!(revisions(&mut next_life), [3, 1]);
}

#[test]
fn a_crash_between_the_renames_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = plain(folder.path().into());
    cache.store(&snapshot(1)).unwrap();
    fs::rename(folder.path().join(CURRENT), folder.path().join(PREVIOUS)).unwrap();
    assert_eq!(revisions(&mut plain(folder.path().into())), [1]);
}

#[test]
fn a_cache_that_was_cleared_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("cache");
    let mut cache = plain(directory.clone());
    cache.store(&snapshot(1)).unwrap();
    fs::remove_dir_all(&directory).unwrap();
    cache.store(&snapshot(2)).unwrap();
    assert_eq!(revisions(&mut cache), [2]);
}

#[test]
fn only_the_owner_can_read_the_documents() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("cache");
    plain(directory.clone()).store(&snapshot(1)).unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(directory.clone()), 0o700);
    assert_eq!(mode(directory.join(CURRENT)), 0o600);
}

#[test]
fn a_restatement_takes_the_place_of_the_same_snapshot_and_pushes_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = plain(folder.path().into());
    cache.store(&snapshot(1)).unwrap();
    cache.store(&snapshot(2)).unwrap();
    cache.store(&stated(2, 60)).unwrap();
    let loaded = plain(folder.path().into()).load(&verify());
    let kept: Vec<_> = loaded.good.iter().map(Stored::of).collect();
    assert_eq!(kept, [Stored::of(&stated(2, 60)), Stored::of(&snapshot(1))]);
}

#[test]
fn the_space_of_three_documents_is_never_exceeded() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("cache");
    let mut cache = plain(directory.clone());
    let largest = (1..=20)
        .map(|revision| {
            // What a crash in the midst of writing leaves behind.
            fs::create_dir_all(&directory).unwrap();
            let document = snapshot(revision).document().clone();
            fs::write(directory.join("current.json.partial"), &document).unwrap();
            cache.store(&snapshot(revision)).unwrap();
            document.len()
        })
        .max()
        .unwrap();
    fs::write(directory.join("previous.json.partial"), "left over").unwrap();
    plain(directory.clone()).load(&verify());
    let files: Vec<u64> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    assert_eq!(files.len(), 2);
    assert!(files.iter().sum::<u64>() <= 2 * largest as u64);
}

#[test]
fn the_files_have_no_version_in_their_path() {
    let folder = tempfile::tempdir().unwrap();
    plain(folder.path().into()).store(&snapshot(1)).unwrap();
    assert!(folder.path().join("current.json").exists());
}

fn keys(ids: &[&str]) -> Option<Arc<SealingKeys>> {
    let keys: Vec<_> = ids
        .iter()
        .map(|id| (*id, keelgate_snapshot::Digest::of(id.as_bytes()).0))
        .collect();
    let keys = SealingKeys::new(keys.iter().map(|(id, key)| (*id, key))).unwrap();
    Some(Arc::new(keys))
}

/// Opens what is sealed, as a node with these keys does.
fn opening(ids: &[&str]) -> Verify {
    let keys = keys(ids).unwrap();
    Arc::new(move |document| keys.verify(document, accept_unsigned))
}

fn bytes(directory: &std::path::Path, name: &str) -> Vec<u8> {
    fs::read(directory.join(name)).unwrap()
}

#[test]
fn a_sealed_cache_is_unreadable_without_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = Cache::new(folder.path().into(), keys(&["a"]));
    cache.store(&snapshot(1)).unwrap();
    assert!(is_sealed(&bytes(folder.path(), CURRENT)));
    let with_key = Cache::new(folder.path().into(), keys(&["a"])).load(&opening(&["a"]));
    assert_eq!(with_key.good.len(), 1);
    for loaded in [
        plain(folder.path().into()).load(&verify()),
        Cache::new(folder.path().into(), keys(&["b"])).load(&opening(&["b"])),
    ] {
        assert!(loaded.good.is_empty());
        let error = loaded.refused[0].to_string();
        assert!(error.contains("encryption_keys"), "{error}");
    }
}

#[test]
fn plain_files_are_read_after_sealing_was_turned_on_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = plain(folder.path().into());
    before.store(&snapshot(1)).unwrap();
    before.store(&snapshot(2)).unwrap();
    let mut cache = Cache::new(folder.path().into(), keys(&["a"]));
    let loaded = cache.load(&opening(&["a"]));
    assert_eq!(loaded.good.len(), 2);
    cache.seal_all().unwrap();
    for name in [CURRENT, PREVIOUS] {
        assert!(is_sealed(&bytes(folder.path(), name)), "{name}");
    }
    let mut next_life = Cache::new(folder.path().into(), keys(&["a"]));
    let found = next_life.load(&opening(&["a"]));
    let revisions: Vec<_> = found.good.iter().map(|s| s.identity().revision).collect();
    assert_eq!(revisions, [2, 1]);
}

#[test]
fn sealing_what_lies_there_never_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    plain(folder.path().into()).store(&snapshot(1)).unwrap();
    let mut cache = Cache::new(folder.path().into(), keys(&["a"]));
    cache.load(&opening(&["a"]));
    cache.store(&snapshot(2)).unwrap();
    cache.seal_all().unwrap();
    let found = Cache::new(folder.path().into(), keys(&["a"])).load(&opening(&["a"]));
    let revisions: Vec<_> = found.good.iter().map(|s| s.identity().revision).collect();
    assert_eq!(revisions, [2, 1]);
    assert!(is_sealed(&bytes(folder.path(), PREVIOUS)));
}

#[test]
fn an_exchanged_key_seals_the_cache_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = Cache::new(folder.path().into(), keys(&["old"]));
    before.store(&snapshot(1)).unwrap();
    let mut cache = Cache::new(folder.path().into(), keys(&["new", "old"]));
    cache.load(&opening(&["new", "old"]));
    cache.seal_all().unwrap();
    let without_old = Cache::new(folder.path().into(), keys(&["new"])).load(&opening(&["new"]));
    assert_eq!(without_old.good.len(), 1);
}

#[test]
fn a_flipped_bit_in_what_kong_sent_is_noticed() {
    let document = r#"{"type":"reconfigure","timestamp":1795406746.615,
        "config_hash":"00000000000000000000000000000001",
        "config_table":{"_format_version":"3.0","services":[{"host":"billing.internal"}]}}"#;
    let received = accept_unsigned(Bytes::from_static(document.as_bytes())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    plain(folder.path().into()).store(&received).unwrap();
    let kept = bytes(folder.path(), CURRENT);
    let read = accept_unsigned(Bytes::from(kept.clone())).unwrap();
    assert_eq!(read.identity(), received.identity());
    assert_eq!(read.created_at(), received.created_at());
    assert_eq!(read.config_hash(), received.config_hash());
    for bit in 0..kept.len() * 8 {
        let mut flipped = kept.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = accept_unsigned(Bytes::from(flipped)) {
            assert_eq!(read.config_json(), received.config_json(), "bit {bit}");
            let known = read.identity() == received.identity();
            // A node of a cluster of Kong takes nothing unsigned of another epoch.
            assert!(known || read.identity().epoch != 0, "bit {bit}");
        }
    }
}
