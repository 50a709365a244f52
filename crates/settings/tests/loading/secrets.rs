//! References to secrets, and where secrets are not shown.

use crate::{Node, find};

#[test]
fn secrets_are_shown_nowhere() {
    let node = Node::new()
        .file("pg_user = {vault://env/db-user}\ndatabase = sqlite\ncluster_cert_key = nonsense-key-material\n")
        .env(&[("KONG_PG_PASSWORD", "hunter2"), ("DB_USER", "admin-user")]);
    let settings = node
        .loader
        .clone()
        .option("cluster_cert_key", "", "--test")
        .load()
        .unwrap()
        .settings;
    assert_eq!(settings.postgres.pg_user, "admin-user");
    assert_eq!(
        settings.postgres.pg_password.as_ref().unwrap().expose(),
        "hunter2"
    );
    let shown = serde_json::to_string(&settings.to_json_masked()).unwrap();
    let debug = format!("{settings:?}");
    for text in [&shown, &debug] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(shown.contains("{vault://env/db-user}") && !shown.contains("admin-user"));
    let told = node.loader.load().unwrap_err().to_string();
    assert!(
        told.contains("cluster_cert_key") && !told.contains("nonsense"),
        "{told}"
    );
}

#[test]
fn a_reference_to_nothing_is_an_error() {
    let problems = Node::new()
        .file("pg_password = {vault://env/nowhere}\ndatabase = sqlite")
        .problems();
    let problem = find(&problems, "pg_password");
    assert!(
        problem
            .message
            .starts_with("failed to dereference '{vault://env/nowhere}'")
    );
    assert_eq!(problem.value.as_deref(), Some("{vault://env/nowhere}"));
}
