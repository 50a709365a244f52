//! Tokens without a code.

use super::*;

#[tokio::test]
async fn an_application_gets_a_token_for_itself() {
    let gateway = Gateway::new(json!({}));
    let credentials = ("grant_type", "client_credentials");
    let (status, body) = gateway
        .token_for_app(&[credentials, ("scope", "email"), ("state", "xyz")])
        .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["expires_in"], 7200);
    assert_eq!(body["state"], "xyz");
    assert!(body.get("refresh_token").is_none());
    let token = text(&body, "access_token");
    assert_eq!(token.len(), 32);
    let (response, request) = gateway.bearer(token).await;
    assert!(response.is_none());
    assert_eq!(request.consumer.unwrap().id, ALICE);
    assert_eq!(request.credential.unwrap().id, APP);
    let headers = &request.headers;
    assert_eq!(values(headers, "x-consumer-username"), ["alice"]);
    assert_eq!(values(headers, "x-credential-identifier"), ["app"]);
    assert_eq!(values(headers, "x-authenticated-scope"), ["email"]);
    assert!(values(headers, "x-authenticated-userid").is_empty());
    let [(_, lasts)] = gateway.records.all(TOKENS)[..] else {
        panic!();
    };
    assert_eq!(lasts, Some(Duration::from_secs(1_209_600)));
}

#[tokio::test]
async fn a_token_is_given_out_by_redirection() {
    let gateway = Gateway::new(json!({}));
    let other = ("redirect_uri", "https://app.test/other?x=1");
    let ask = [
        ("client_id", "app"),
        ("response_type", "token"),
        ("state", "s"),
        other,
    ];
    let (status, body) = gateway.authorize(&ask).await;
    assert_eq!(status, 200, "{body}");
    let address = text(&body, "redirect_uri");
    let told = address
        .strip_prefix("https://app.test/other?x=1#access_token=")
        .unwrap();
    let (token, rest) = told.split_once('&').unwrap();
    assert_eq!(rest, "expires_in=7200&state=s&token_type=bearer");
    assert!(gateway.is_good(token).await);
}

#[tokio::test]
async fn who_knows_a_password_gets_a_token() {
    let gateway = Gateway::new(json!({}));
    let ask = async |more: &[(&str, &str)]| {
        let own = [("grant_type", "password"), ("scope", "email")];
        gateway.token_for_app(&[&own, more].concat()).await
    };
    let (key, user) = (("provision_key", "prov"), ("authenticated_userid", "u1"));
    assert_eq!(
        ask(&[user]).await,
        (
            400,
            problem("invalid_provision_key", "Invalid provision_key")
        )
    );
    assert_eq!(
        ask(&[key, ("authenticated_userid", " ")]).await,
        (
            400,
            problem(
                "invalid_authenticated_userid",
                "Missing authenticated_userid parameter"
            )
        )
    );
    let (status, body) = ask(&[key, user]).await;
    assert_eq!(status, 200, "{body}");
    assert!(gateway.is_good(text(&body, "access_token")).await);
    assert!(body["refresh_token"].is_string());
}
