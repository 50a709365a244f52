//! A path has one normal form, without ways up, and it can be written into a request line.

use keelgate_router::path::{escape, normalise, split_target};

pub(crate) fn run(target: &str) {
    // No reader of requests lets one through.
    if target.contains('\0') {
        return;
    }
    let (path, query) = split_target(target);
    assert!(target.starts_with(path));
    assert!(query.is_none_or(|query| target.contains(query)));
    let Ok(normal) = normalise(path) else {
        return;
    };
    assert!(
        normal
            .split('/')
            .all(|segment| segment != ".." && segment != "."),
        "{normal}"
    );
    assert!(!normal.contains("//"), "{normal}");
    let again = normalise(&normal).expect("a normal path is a path");
    assert_eq!(again, normal);
    let escaped = escape(&normal);
    assert!(
        escaped.bytes().all(|byte| byte.is_ascii_graphic()),
        "{escaped}"
    );
    let back = normalise(&escaped).expect("an escaped path is a path");
    assert_eq!(back, normal);
}
