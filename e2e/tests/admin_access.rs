//! The Admin API behind client certificates and credentials.

use e2e::{Node, Role, ports, wait};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

/// An authority, and a client's certificate with its key that it has issued, in PEM.
fn authority_and_client() -> (String, String) {
    let key = KeyPair::generate().expect("make a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = params.self_signed(&key).expect("make an authority");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("make a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params
        .distinguished_name
        .push(DnType::CommonName, "deploy-bot");
    let client = params.signed_by(&key, &issuer).expect("issue");
    (authority.pem(), client.pem() + &key.serialize_pem())
}

fn client(identity: Option<&str>) -> reqwest::Client {
    // The node's own certificate is one that it has made itself.
    let mut builder = reqwest::Client::builder().danger_accept_invalid_certs(true);
    if let Some(pem) = identity {
        let identity = reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity");
        builder = builder.identity(identity);
    }
    builder.build().expect("make a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_known_clients_reach_a_closed_admin_api_and_the_audit_log_names_them() {
    let (authority, identity) = authority_and_client();
    let port = ports::free();
    let listen = format!("127.0.0.1:{port} ssl");
    let credentials = "ops:read-write:0123456789abcdef,eye:read-only:fedcba9876543210";
    let node = Node::start(
        Role::Traditional,
        &[
            ("admin_listen", &listen),
            ("admin_ssl_client_ca", &authority),
            ("admin_credentials", credentials),
        ],
        &[],
    );
    node.answers(&node.status("/status"), 200).await;
    let url = |path: &str| format!("https://127.0.0.1:{port}{path}");
    let known = client(Some(&identity));
    let status = wait::until("the Admin API", || async {
        let answer = known.get(url("/services")).send().await;
        answer.map(|answer| answer.status().as_u16())
    })
    .await;
    assert_eq!(status, 401, "a certificate alone is not enough");
    let stranger = client(None)
        .get(url("/services"))
        .bearer_auth("0123456789abcdef");
    stranger
        .send()
        .await
        .expect_err("a credential alone is not enough");

    let create = |secret: &str| {
        known
            .post(url("/services"))
            .bearer_auth(secret)
            .header("content-type", "application/json")
            .body(json!({"name": "s", "host": "h.test"}).to_string())
            .send()
    };
    let refused = create("fedcba9876543210").await.expect("an answer");
    assert_eq!(refused.status(), 403);
    let created = create("0123456789abcdef").await.expect("an answer");
    assert_eq!(created.status(), 201);
    let log = known
        .get(url("/audit"))
        .basic_auth("eye", Some("fedcba9876543210"))
        .send()
        .await
        .expect("an answer");
    let log = log.text().await.expect("a body");
    let log: Value = serde_json::from_str(&log).expect("JSON");
    assert_eq!(log["data"].as_array().map(Vec::len), Some(1), "{log}");
    assert_eq!(log["data"][0]["by"], "ops");
    assert_eq!(log["data"][0]["request"], "POST /services");
    assert!(
        !node.log().contains("0123456789abcdef"),
        "a secret is logged"
    );
}
