//! How applications prove who they are.

use super::*;

#[tokio::test]
async fn applications_prove_who_they_are() {
    let gateway = Gateway::new(json!({}));
    let credentials = ("grant_type", "client_credentials");
    let refused = problem("invalid_client", "Invalid client authentication");
    for fields in [
        vec![credentials],
        vec![credentials, ("client_id", "app")],
        vec![credentials, ("client_id", "app"), ("client_secret", "x")],
        vec![
            credentials,
            ("client_id", "nobody"),
            ("client_secret", "s3cret"),
        ],
    ] {
        assert_eq!(
            gateway.token(&fields).await,
            (400, refused.clone()),
            "{fields:?}"
        );
    }
    let public = [
        ("client_id", "public"),
        ("client_secret", "s3cret"),
        credentials,
    ];
    let expected = problem(
        "invalid_request",
        "client_secret is disallowed for public clients",
    );
    assert_eq!(gateway.token(&public).await, (400, expected));
    let (status, _) = gateway.token(&[credentials, ("client_id", "public")]).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn applications_may_prove_themselves_in_the_header() {
    let gateway = Gateway::new(json!({}));
    let ask = async |authorization: &str, grant: &str| {
        let kind = "application/x-www-form-urlencoded";
        let body = format!("grant_type={grant}");
        let mut request = with_body(exchange("POST", "/oauth2/token"), kind, &body);
        request.client.tls = true;
        let mut request = with_headers(request, &[("authorization", authorization)]);
        let (status, body, response) = answered(gateway.ask(&mut request).await);
        let challenge = values(&response.headers, "www-authenticate");
        (
            status,
            body,
            challenge.first().map(|text| (*text).to_owned()),
        )
    };
    // app:s3cret
    let (status, ..) = ask("Basic YXBwOnMzY3JldA==", "client_credentials").await;
    assert_eq!(status, 200);
    let refused = problem("invalid_client", "Invalid client authentication");
    for (authorization, grant) in [
        ("Basic YXBwOng=", "client_credentials"),
        ("Basic bm9ib2R5OnM=", "password"),
    ] {
        let (status, body, challenge) = ask(authorization, grant).await;
        assert_eq!((status, &body), (401, &refused));
        assert_eq!(challenge.unwrap(), "Basic realm=\"OAuth2.0\"");
    }
}

#[tokio::test]
async fn a_secret_may_be_kept_as_its_digest() {
    let schemas = keelgate_entities::Schemas::new(Vec::new());
    let credential = json!({
        "consumer": {"id": ALICE}, "name": "hashed", "client_id": "hashed",
        "client_secret": "s3cret", "hash_secret": true,
    });
    let credential = credential.as_object().unwrap().clone();
    let now = std::time::SystemTime::now();
    let credential = schemas
        .insert("oauth2_credentials", credential, now)
        .unwrap();
    assert_ne!(credential["client_secret"], "s3cret");
    let credential = serde_json::from_value(credential.into()).unwrap();
    let records = Arc::new(InMemory::new());
    let people = directory().with_oauth2(vec![credential]);
    let gateway = Gateway {
        plugin: compiled_with(&records, people, "oauth2", config(json!({}))),
        records,
    };
    for (secret, expected) in [("s3cret", 200), ("s3cre", 400)] {
        let ask = [
            ("grant_type", "client_credentials"),
            ("client_id", "hashed"),
            ("client_secret", secret),
        ];
        assert_eq!(gateway.token(&ask).await.0, expected);
    }
}
