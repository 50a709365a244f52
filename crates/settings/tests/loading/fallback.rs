//! The settings of the fallback storage.

use keelgate_settings::{LoadError, MaxAgePolicy, Severity};

use crate::{Node, data_plane, find};

const KEY_1: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEY_2: &str = "HxAREhMUFRYXGBkaGxwdHh8AAQIDBAUGBwgJCgsMDQ4=";

#[test]
fn a_fallback_without_a_storage_is_an_error() {
    let node = Node::new();
    let (cert, key) = node.cluster_pair();
    let conf = format!(
        "role = data_plane\ncluster_cert = {cert}\ncluster_cert_key = {key}\ncluster_fallback_config_import = on\n"
    );
    let problems = node.file(&conf).problems();
    assert!(
        find(&problems, "cluster_fallback_config_storage")
            .message
            .contains("import = on")
    );
}

#[test]
fn the_settings_of_the_fallback_storage_have_types_and_defaults() {
    let fallback = data_plane("").settings().fallback;
    assert!(
        fallback
            .cluster_fallback_config_encryption_keys
            .keys()
            .is_empty()
    );
    assert_eq!(fallback.cluster_fallback_config_lease.0.as_secs(), 10);
    assert!(fallback.cluster_fallback_config_max_age.0.is_zero());
    let policy = fallback.cluster_fallback_config_max_age_policy;
    assert_eq!(policy, MaxAgePolicy::Serve);

    let node = data_plane(
        "cluster_fallback_config_import = on\n\
         cluster_fallback_config_storage = file:///srv/a\n\
         cluster_fallback_config_lease = 20\n\
         cluster_fallback_config_max_age = 86400\n\
         cluster_fallback_config_max_age_policy = refuse\n\
         cluster_fallback_config_signers = backup-1.example.com, ops.example.com\n",
    );
    let fallback = node.settings().fallback;
    assert_eq!(fallback.cluster_fallback_config_lease.0.as_secs(), 20);
    let policy = fallback.cluster_fallback_config_max_age_policy;
    assert_eq!(policy, MaxAgePolicy::Refuse);
    assert_eq!(fallback.cluster_fallback_config_signers.len(), 2);
}

#[test]
fn encryption_keys_may_be_references_and_are_shown_nowhere() {
    let node = data_plane(&format!(
        "cluster_fallback_config_encryption_keys = {{vault://env/new-key}}, old:{KEY_2}\n\
         cluster_fallback_config_https_header = {{vault://env/cdn-header}}\n"
    ))
    .env(&[
        ("NEW_KEY", &format!("new:{KEY_1}")),
        ("CDN_HEADER", "Authorization: Bearer s3cret"),
    ]);
    let settings = node.settings();
    let keys = settings
        .fallback
        .cluster_fallback_config_encryption_keys
        .keys();
    assert_eq!((keys[0].id(), keys[1].id()), ("new", "old"));
    let header = settings
        .fallback
        .cluster_fallback_config_https_header
        .as_ref()
        .unwrap();
    assert_eq!(header.value().expose(), "Bearer s3cret");
    let shown = settings.to_json_masked();
    assert_eq!(
        shown["cluster_fallback_config_encryption_keys"],
        "{vault://env/new-key}, ******"
    );
    let told = format!("{settings:?} {}", serde_json::to_string(&shown).unwrap());
    for secret in [KEY_1, KEY_2, "s3cret"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn a_wrong_encryption_key_is_told_without_the_key() {
    let short = &KEY_1[..20];
    let node = data_plane(&format!(
        "cluster_fallback_config_encryption_keys = {{vault://env/new-key}}, old:{short}\n"
    ))
    .env(&[("NEW_KEY", &format!("new:{KEY_1}"))]);
    let told = node.loader.load().unwrap_err().to_string();
    assert!(
        told.contains("'old' has 15 bytes; it must have 32"),
        "{told}"
    );
    assert!(!told.contains(short) && !told.contains(KEY_1), "{told}");
}

#[test]
fn a_reference_to_an_empty_key_does_not_turn_sealing_off() {
    let problems = data_plane("cluster_fallback_config_encryption_keys = {vault://env/new-key}\n")
        .env(&[("NEW_KEY", "")])
        .problems();
    let problem = find(&problems, "cluster_fallback_config_encryption_keys");
    assert!(problem.message.ends_with("it stands for nothing"));
}

#[test]
fn settings_of_the_fallback_storage_that_contradict_one_another_are_told() {
    let told = |lines: &str, key: &str| {
        let problems = match data_plane(lines).loader.load() {
            Ok(loaded) => loaded.remarks,
            Err(LoadError::Invalid { problems }) => problems,
            Err(other) => panic!("{other}"),
        };
        let problem = find(&problems, key);
        (problem.severity, problem.message.clone())
    };
    let storage =
        "cluster_fallback_config_import = on\ncluster_fallback_config_storage = file:///srv/a";
    for (lines, key, severity, message) in [
        (
            "cluster_fallback_config_max_age_policy = refuse",
            "cluster_fallback_config_max_age_policy",
            Severity::Error,
            "nothing is ever refused",
        ),
        (
            "cluster_fallback_config_storage = file:///srv/a/, file:///srv/a\ncluster_fallback_config_export = on",
            "cluster_fallback_config_storage",
            Severity::Warning,
            "twice",
        ),
        (
            "cluster_fallback_config_storage = file:///srv/a\ncluster_fallback_config_export = on\ncluster_fallback_config_lease = 0",
            "cluster_fallback_config_lease",
            Severity::Error,
            "from 3 to 300",
        ),
        (
            &format!("{storage}\ncluster_fallback_export_s3_config = {{\"ACL\":\"private\"}}"),
            "cluster_fallback_export_s3_config",
            Severity::Warning,
            "no storage is an s3:// one",
        ),
        (
            &format!("{storage}\ncluster_fallback_config_https_header = A: b"),
            "cluster_fallback_config_https_header",
            Severity::Warning,
            "no storage is an https:// one",
        ),
        (
            "cluster_fallback_config_signers = ops.example.com",
            "cluster_fallback_config_signers",
            Severity::Warning,
            "cluster_mtls = shared",
        ),
    ] {
        let (found, text) = told(lines, key);
        assert_eq!(found, severity, "{key}: {text}");
        assert!(text.contains(message), "{key}: {text}");
    }
}
