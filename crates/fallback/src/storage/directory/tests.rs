use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use super::*;

const PATIENT: Duration = Duration::from_secs(10);

fn opened(root: &Path, time_out: Duration) -> Directory {
    Directory::new("file:///test".to_owned(), root.to_owned(), time_out)
}

#[tokio::test]
async fn not_everybody_can_read_what_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("storage");
    let storage = opened(&root, PATIENT);
    let key = "0.1.0/config.json";
    storage
        .put_if_absent(key, Bytes::from_static(b"{}"))
        .await
        .unwrap();
    for path in [key, "0.1.0", ".lock", ""] {
        let mode = fs::metadata(root.join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{path}: {mode:o}");
    }
}

#[tokio::test]
async fn no_key_leaves_the_directory() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("storage");
    fs::create_dir(&root).unwrap();
    fs::write(folder.path().join("secret"), "x").unwrap();
    let storage = opened(&root, PATIENT);
    for key in [
        "../secret",
        "a/../../secret",
        "/etc/passwd",
        "a//b",
        ".lock",
        "",
    ] {
        let error = storage.get(key, None, 100).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{key}");
        let put = storage.put_if_absent(key, Bytes::new()).await;
        assert_eq!(put.unwrap_err().kind, ErrorKind::Invalid, "{key}");
    }
}

#[tokio::test]
async fn a_half_written_file_of_a_crashed_writer_is_neither_read_nor_listed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("storage");
    fs::create_dir_all(root.join("v")).unwrap();
    fs::write(root.join("v/.config.json.partial"), "hal").unwrap();
    let storage = opened(&root, PATIENT);
    assert!(storage.list("v").await.unwrap().is_empty());
    let whole = Bytes::from_static(b"whole");
    storage
        .put_if_absent("v/config.json", whole.clone())
        .await
        .unwrap();
    let object = storage.get("v/config.json", None, 100).await.unwrap();
    assert_eq!(object.bytes, whole);
}

#[tokio::test]
async fn a_writer_that_holds_the_lock_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let lock = File::create(folder.path().join(LOCK)).unwrap();
    lock.lock().unwrap();
    let storage = opened(folder.path(), PATIENT);
    let write = storage.put("v/config.json", Bytes::from_static(b"{}"));
    let (written, ()) = tokio::join!(write, async {
        tokio::time::sleep(LOCK_POLL * 3).await;
        drop(lock);
    });
    written.unwrap();
}

#[tokio::test]
async fn a_volume_that_hangs_holds_a_few_threads_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let storage = opened(folder.path(), LOCK_POLL);
    let begun = Arc::new(AtomicUsize::new(0));
    let (volume_is_back, hung) = channel::<()>();
    let hung = Arc::new(Mutex::new(hung));
    for _ in 0..3 * AT_ONCE {
        let (begun, hung) = (Arc::clone(&begun), Arc::clone(&hung));
        let read = storage.run(Operation::Read, "v/x", move |_| {
            begun.fetch_add(1, Ordering::Relaxed);
            let _ = hung.lock().unwrap().recv();
            Ok(())
        });
        assert_eq!(read.await.unwrap_err().kind, ErrorKind::TimedOut);
    }
    drop(volume_is_back);
    // They end, and others find their place.
    while storage.slots.available_permits() < AT_ONCE {
        tokio::task::yield_now().await;
    }
    assert_eq!(begun.load(Ordering::Relaxed), AT_ONCE);
}

#[tokio::test]
async fn a_huge_file_in_the_place_of_an_object_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("v")).unwrap();
    let huge = File::create(folder.path().join("v/x")).unwrap();
    // Takes no room on the disk, and more memory than there is.
    huge.set_len(1 << 42).unwrap();
    let storage = opened(folder.path(), PATIENT);
    let created = storage.put_if_absent("v/x", Bytes::new()).await;
    assert_eq!(created.unwrap_err().kind, ErrorKind::AlreadyExists);
    let version = Version("any".to_owned());
    let replaced = storage.put_if_match("v/x", Bytes::new(), &version).await;
    assert_eq!(replaced.unwrap_err().kind, ErrorKind::Precondition);
}

#[tokio::test]
async fn a_lock_that_is_never_given_back_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let lock = File::create(folder.path().join(LOCK)).unwrap();
    lock.lock().unwrap();
    let storage = opened(folder.path(), LOCK_POLL * 3);
    let error = storage.put("v/x", Bytes::new()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(error.to_string().contains(".lock"), "{error}");
}

#[tokio::test]
async fn a_file_that_another_replaced_or_changed_has_another_version() {
    let folder = tempfile::tempdir().unwrap();
    let storage = opened(folder.path(), PATIENT);
    let key = "config.json";
    let path = folder.path().join(key);
    let own = Bytes::from_static(b"own");
    let version = storage.put(key, own.clone()).await.unwrap();
    let unchanged = storage.get(key, Some(&version), 100).await.unwrap_err();
    assert_eq!(unchanged.kind, ErrorKind::NotModified);

    let replace = |content: &str| {
        fs::write(folder.path().join("other"), content).unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
    };
    let lengthen = |content: &str| fs::write(&path, content).unwrap();
    for (change, content) in [
        (&replace as &dyn Fn(&str), "new"),
        (&lengthen, "longer than before"),
    ] {
        change(content);
        let refused = storage.put_if_match(key, own.clone(), &version).await;
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Precondition);
        let found = storage.get(key, Some(&version), 100).await.unwrap();
        assert_eq!(found.bytes, content);
    }
    let found = storage.get(key, None, 100).await.unwrap();
    let replaced = storage.put_if_match(key, own, &found.version).await;
    assert_eq!(replaced.unwrap(), version);
}
