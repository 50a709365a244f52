//! Tokens for tokens.

use super::*;

#[tokio::test]
async fn a_token_is_refreshed_by_what_it_came_with() {
    let gateway = Gateway::new(json!({}));
    let first = password_token(&gateway).await;
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&first, "refresh_token")),
    ];
    let by_other = [("client_id", "other"), ("client_secret", "s3cret")];
    let (status, body) = gateway.token(&[&by_other[..], &refresh].concat()).await;
    let expected = problem("invalid_client", "Invalid client authentication");
    assert_eq!((status, body), (400, expected));
    let (status, second) = gateway.token_for_app(&refresh).await;
    assert_eq!(status, 200, "{second}");
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert!(!gateway.is_good(text(&first, "access_token")).await);
    let (_, request) = gateway.bearer(text(&second, "access_token")).await;
    assert_eq!(values(&request.headers, "x-authenticated-userid"), ["u1"]);
    assert_eq!(values(&request.headers, "x-authenticated-scope"), ["email"]);
    let again = gateway.token_for_app(&refresh).await;
    let expected = problem("invalid_request", "Invalid refresh_token");
    assert_eq!(again, (400, expected));
}

#[tokio::test]
async fn what_refreshes_a_token_may_stay_the_same() {
    let gateway = Gateway::new(json!({"reuse_refresh_token": true, "refresh_token_ttl": 60}));
    let first = password_token(&gateway).await;
    gateway.records.set(TOKENS, "created_at", &json!(5));
    assert!(!gateway.is_good(text(&first, "access_token")).await, "over");
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&first, "refresh_token")),
    ];
    for _ in 0..2 {
        let (status, body) = gateway.token_for_app(&refresh).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["refresh_token"], first["refresh_token"]);
        assert_ne!(body["access_token"], first["access_token"]);
        assert!(gateway.is_good(text(&body, "access_token")).await);
    }
    let [(_, lasts)] = gateway.records.all(TOKENS)[..] else {
        panic!();
    };
    assert_eq!(lasts, Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn a_scope_that_is_no_longer_given_out_is_not_refreshed() {
    let gateway = Gateway::new(json!({}));
    let token = password_token(&gateway).await;
    let narrower = Gateway::beside(&gateway.records, json!({"scopes": ["profile"]}));
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&token, "refresh_token")),
    ];
    let refused = narrower.token_for_app(&refresh).await;
    assert_eq!(refused, (400, problem("invalid_scope", "Scope mismatch")));
}

#[tokio::test]
async fn a_token_without_an_end_is_kept_and_not_refreshed() {
    let gateway = Gateway::new(json!({"token_expiration": 0}));
    let body = password_token(&gateway).await;
    assert!(body.get("expires_in").is_none() && body.get("refresh_token").is_none());
    let [(_, lasts)] = gateway.records.all(TOKENS)[..] else {
        panic!();
    };
    assert_eq!(lasts, None);
    gateway.records.set(TOKENS, "created_at", &json!(5));
    assert!(gateway.is_good(text(&body, "access_token")).await);
}
