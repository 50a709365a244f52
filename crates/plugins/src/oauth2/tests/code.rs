//! Codes, and the proofs of those who began with a challenge.

use super::*;

#[tokio::test]
async fn a_code_is_exchanged_for_a_token_once() {
    let gateway = Gateway::new(json!({}));
    let code = gateway
        .code(&[("scope", "email profile"), ("state", "s 1")])
        .await;
    let [(kept, lasts)] = &gateway.records.all(CODES)[..] else {
        panic!();
    };
    assert_eq!(*lasts, Some(Duration::from_secs(300)));
    assert_eq!(kept["plugin"]["id"], json!(Uuid::from_u128(7)));
    let exchange = [("grant_type", "authorization_code"), ("code", &code)];
    let by_other = [("client_id", "other"), ("client_secret", "s3cret")];
    let (status, body) = gateway.token(&[&by_other[..], &exchange].concat()).await;
    assert_eq!(
        (status, body),
        (400, problem("invalid_request", "Invalid code"))
    );
    let (status, body) = gateway.token_for_app(&exchange).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(text(&body, "refresh_token").len(), 32);
    let (_, request) = gateway.bearer(text(&body, "access_token")).await;
    let headers = &request.headers;
    assert_eq!(values(headers, "x-authenticated-scope"), ["email profile"]);
    assert_eq!(values(headers, "x-authenticated-userid"), ["u1"]);
    let (status, body) = gateway.token_for_app(&exchange).await;
    assert_eq!(
        (status, body),
        (400, problem("invalid_request", "Invalid code"))
    );
    assert!(gateway.records.all(CODES).is_empty());
}

#[tokio::test]
async fn a_code_of_long_ago_is_no_good() {
    let gateway = Gateway::new(json!({}));
    let code = gateway.code(&[]).await;
    gateway.records.set(CODES, "created_at", &json!(NOW - 301));
    let (status, _) = gateway
        .token_for_app(&[("grant_type", "authorization_code"), ("code", &code)])
        .await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn who_begins_with_a_challenge_must_prove_it() {
    let gateway = Gateway::new(json!({}));
    let challenged = [
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let code = gateway.code(&challenged).await;
    let exchange = |more: &[(&'static str, &'static str)]| {
        let code: &'static str = Box::leak(code.clone().into_boxed_str());
        [
            &[("grant_type", "authorization_code"), ("code", code)],
            more,
        ]
        .concat()
    };
    let wrong = "x".repeat(43).leak();
    for (more, expected) in [
        (
            vec![],
            problem(
                "invalid_request",
                "code_verifier is required for PKCE authorization requests",
            ),
        ),
        (
            vec![("code_verifier", "short")],
            problem(
                "invalid_request",
                "code_verifier must be between 43 and 128 characters",
            ),
        ),
        (
            vec![("code_verifier", &*wrong)],
            problem("invalid_grant", "Invalid code"),
        ),
    ] {
        let (status, body) = gateway.token_for_app(&exchange(&more)).await;
        assert_eq!((status, body), (400, expected));
    }
    let (status, body) = gateway
        .token_for_app(&exchange(&[("code_verifier", VERIFIER)]))
        .await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn proofs_are_asked_of_whom_the_settings_say() {
    let code = [("response_type", "code")];
    for (pkce, client, needed) in [
        ("none", "public", false),
        ("lax", "public", true),
        ("lax", "app", false),
        ("strict", "app", true),
    ] {
        let gateway = Gateway::new(json!({ "pkce": pkce }));
        let (status, body) = gateway
            .authorize(&[&code[..], &[("client_id", client)]].concat())
            .await;
        let address = text(&body, "redirect_uri");
        assert_eq!(status, if needed { 400 } else { 200 }, "{pkce} {client}");
        assert_eq!(
            address.contains("code_challenge%20is%20required%20for"),
            needed
        );
    }
    let gateway = Gateway::new(json!({}));
    for (name, value, description) in [
        (
            "code_challenge_method",
            "S256",
            "code_challenge%20is%20required%20when%20code_method%20is%20present",
        ),
        ("code_challenge", "c", ""),
    ] {
        let client = [("client_id", "app"), (name, value)];
        let (_, body) = gateway.authorize(&[&code[..], &client].concat()).await;
        assert!(text(&body, "redirect_uri").contains(description), "{body}");
    }
    let plain = [
        ("client_id", "app"),
        ("code_challenge", "c"),
        ("code_challenge_method", "plain"),
    ];
    let (status, body) = gateway.authorize(&[&code[..], &plain].concat()).await;
    assert_eq!(status, 400);
    assert!(text(&body, "redirect_uri").contains("code_challenge_method%20is%20not%20supported"));
}
