use http::StatusCode;
use serde_json::{Value, json};

use super::certificate::CertKey;
use crate::response::Body;
use crate::testing::*;
use crate::{Access, Exchange, Response};

fn config(more: Value) -> Value {
    let mut config = json!({
        "account_email": "a@b.test", "domains": ["a.test"],
        "api_uri": "https://authority.test/directory",
    });
    let fields = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(fields);
    config
}

fn asked<'r>(host: &str, path: &str) -> Exchange<'r> {
    let mut exchange = exchange("GET", path);
    exchange.host = host.to_owned();
    exchange
}

fn text(response: &Response) -> &[u8] {
    match &response.body {
        Body::Bytes(body) => body,
        other => panic!("{other:?}"),
    }
}

#[test]
fn challenges_are_answered_for_names_of_the_list_alone() {
    let plugin = compiled("acme", config(json!({})));
    let probe = "/.well-known/acme-challenge/x";
    let response = waited(plugin, &mut asked("A.test", probe));
    assert_eq!(response.status, StatusCode::NOT_FOUND);
    assert_eq!(text(&response), b"Not found\n");
    let unknown = waited(
        plugin,
        &mut asked("a.test", "/.well-known/acme-challenge/t0"),
    );
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    for (host, path) in [
        ("b.test", probe),
        ("a.test", "/.well-known/acme-challenge/"),
        ("a.test", "/x"),
    ] {
        assert!(
            access(plugin, &mut asked(host, path)).is_none(),
            "{host}{path}"
        );
    }
    let mut over_tls = asked("a.test", probe);
    over_tls.protocol = keelgate_entities::kinds::Protocol::Https;
    assert!(matches!(
        plugin.access(&mut over_tls),
        Access::Ready(crate::Flow::Continue)
    ));
}

#[test]
fn no_certificate_is_got_for_other_names() {
    let plugin = compiled("acme", config(json!({})));
    assert!(plugin.phases().certificate);
    assert!(plugin.certificate("b.test").is_none());
}

#[test]
fn certificates_are_told_without_their_keys() {
    let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    let certificate = CertKey {
        cert: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    };
    let told = certificate.told(NOW as i64).unwrap();
    assert_eq!(told["pubkey_type"], "id-ecPublicKey");
    assert_eq!(told["valid"], true);
    assert_eq!(told["digest"].as_str().unwrap().len(), 59);
    certificate.certified().unwrap();
    let broken = CertKey {
        key: "s3cret".to_owned(),
        ..certificate
    };
    let problem = broken.certified().unwrap_err().to_string();
    assert!(!problem.contains("s3cret"), "{problem}");
}

#[test]
fn settings_are_completed_and_checked() {
    let given = json!({"account_email": "a@b.test", "domains": ["a.test"]});
    let completed = validated("acme", given).unwrap();
    assert_eq!(completed["rsa_key_size"], 4096);
    assert_eq!(completed["storage_config"]["redis"]["port"], 6379);
    let options = json!({"namespace": "", "scan_count": 10});
    assert_eq!(
        completed["storage_config"]["redis"]["extra_options"],
        options
    );
    compiled("acme", completed);
    let problem = |more| validated("acme", config(more)).unwrap_err()["message"].to_string();
    assert!(problem(json!({"storage": "kong"})).contains("without a database"));
    let nowhere = problem(json!({"storage": "redis"}));
    assert!(
        nowhere.contains("host = \\\"required field missing"),
        "{nowhere}"
    );
    let namespace = json!({"extra_options": {"namespace": "kong_acme:cert_key:x"}});
    let reserved = problem(json!({"storage_config": {"redis": namespace}}));
    assert!(reserved.contains("reserved word"), "{reserved}");
    let terms = json!({"api_uri": "https://acme-v02.api.letsencrypt.org"});
    let terms = problem(terms);
    assert!(
        terms.contains("terms of service must be accepted"),
        "{terms}"
    );
    for domain in ["*", "a.*.test", "*.*"] {
        let told = problem(json!({"domains": ["a.test", domain]}));
        assert!(told.contains("invalid wildcard"), "{told}");
    }
    let key = problem(json!({"account_key": {"key_id": "k"}}));
    assert!(key.contains("key sets"), "{key}");
    assert!(refused("acme", config(json!({"eab_kid": "k"}))).contains("belong together"));
    for storage in ["consul", "vault"] {
        compiled(
            "acme",
            validated("acme", config(json!({"storage": storage}))).unwrap(),
        );
        let settings = json!({storage: {"token": "a\nb"}});
        let settings = config(json!({"storage": storage, "storage_config": settings}));
        assert!(
            refused("acme", settings).contains("not the value of a header"),
            "{storage}"
        );
    }
}
