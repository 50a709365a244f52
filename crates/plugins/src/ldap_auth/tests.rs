use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use proptest::prelude::*;
use serde_json::json;

use super::handler::Login;
use crate::testing::*;

fn read(header: &str, scheme: &str) -> Option<(String, String)> {
    let login = Login::read(&HeaderValue::from_str(header).unwrap(), scheme)?;
    Some((login.username, login.password))
}

fn header(scheme: &str, login: &str) -> String {
    format!("{scheme} {}", STANDARD.encode(login))
}

#[test]
fn a_login_is_read_under_its_scheme_alone() {
    let alice = Some(("alice".to_owned(), "p:w".to_owned()));
    assert_eq!(read(&header("LDAP", "alice:p:w"), "ldap"), alice);
    assert_eq!(read(&header("  ldap ", "alice:p:w"), "ldap"), alice);
    assert_eq!(read(&header("Basic", "alice:p:w"), "basic"), alice);
    assert_eq!(read(&header("Basic", "alice:p:w"), "ldap"), None);
    assert_eq!(read(&header("ldapx", "alice:p:w"), "ldap"), None);
    assert_eq!(read("ldap", "ldap"), None);
    assert_eq!(read("ldap %%%", "ldap"), None);
}

/// Servers take a bind without a password for one as nobody, and let it succeed.
#[test]
fn a_login_without_a_name_or_a_password_is_none() {
    for login in ["alice", "alice:", ":pw", ":", "", "a\n:pw", "a:p\0w"] {
        assert_eq!(read(&header("ldap", login), "ldap"), None, "{login:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_header_is_read_or_passed_over(bytes: Vec<u8>, scheme in "[a-z]{0,5}") {
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let _ = Login::read(&value, &scheme);
        }
        let encoded = header(&scheme, &String::from_utf8_lossy(&bytes));
        if let Some((username, password)) = read(&encoded, &scheme) {
            prop_assert!(!username.is_empty() && !password.is_empty());
        }
    }
}

fn config(more: serde_json::Value) -> serde_json::Value {
    let mut all = json!({"ldap_host": "h.test", "base_dn": "dc=x", "attribute": "cn"});
    let fields = more.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(fields);
    all
}

#[test]
fn settings_are_completed_and_checked() {
    let completed = validated("ldap-auth", config(json!({}))).unwrap();
    let expected = json!({
        "timeout": 10000, "realm": null, "start_tls": false, "ldap_host": "h.test",
        "ldap_port": 389, "hide_credentials": false, "ldaps": false, "verify_ldap_host": false,
        "anonymous": null, "header_type": "ldap", "base_dn": "dc=x", "keepalive": 60000,
        "attribute": "cn", "cache_ttl": 60,
    });
    assert_eq!(completed, expected);
    compiled("ldap-auth", completed);

    let both = config(json!({"ldaps": true, "start_tls": true}));
    let problem = "'ldaps' and 'start_tls' cannot be enabled simultaneously";
    let error = validated("ldap-auth", both.clone()).unwrap_err();
    let fields = json!({"config": {"start_tls": "value must be false", "@entity": [problem]}});
    assert_eq!(error["fields"], fields);
    assert!(refused("ldap-auth", both).ends_with(problem));
    assert!(refused("ldap-auth", json!({})).contains("config.ldap_host"));
    let message = refused("ldap-auth", config(json!({"cache_ttl": -1})));
    assert!(message.contains("config.cache_ttl"), "{message}");
}
