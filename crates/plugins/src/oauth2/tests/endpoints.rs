//! What the endpoints refuse.

use super::*;

#[tokio::test]
async fn what_is_not_switched_on_is_not_given() {
    let gateway = Gateway::new(json!({
        "enable_implicit_grant": false, "enable_client_credentials": false,
        "enable_password_grant": false,
    }));
    let expected = problem("unsupported_grant_type", "Invalid grant_type");
    for grant in ["client_credentials", "password", "nope"] {
        let refused = gateway.token_for_app(&[("grant_type", grant)]).await;
        assert_eq!(refused, (400, expected.clone()), "{grant}");
    }
    for kind in ["token", "nope"] {
        let ask = [("client_id", "app"), ("response_type", kind)];
        let (status, body) = gateway.authorize(&ask).await;
        assert_eq!(status, 400);
        assert_eq!(
            text(&body, "redirect_uri"),
            "https://app.test/back?error=unsupported_response_type&\
             error_description=Invalid%20response_type"
        );
    }
}

#[tokio::test]
async fn no_other_spelling_leads_past_an_endpoint() {
    let gateway = Gateway::new(json!({}));
    for path in [
        "/a/oauth2/%74oken",
        "/a/oauth2/./token",
        "/a/oauth2//token/",
        "/a/oauth2/x/../token",
    ] {
        let ask = [
            ("grant_type", "client_credentials"),
            ("client_id", "app"),
            ("client_secret", "s3cret"),
        ];
        let (status, body, _) = gateway.post(path, &ask).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
    // An escaped slash is no slash.
    let mut request = exchange("POST", "/a/oauth2%2Ftoken");
    let refused = gateway.ask(&mut request).await.unwrap();
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn users_go_nowhere_else() {
    let gateway = Gateway::new(json!({}));
    let foreign = ("redirect_uri", "https://evil.test/");
    let ask = [("client_id", "app"), ("response_type", "code"), foreign];
    let (status, body) = gateway.authorize(&ask).await;
    assert_eq!(status, 400);
    let address = text(&body, "redirect_uri");
    assert!(
        address.starts_with("https://app.test/back?error=invalid_request"),
        "{address}"
    );
    for client in ["nobody", "nowhere"] {
        let ask = [
            ("client_id", client),
            ("response_type", "code"),
            ("state", "s"),
        ];
        let (status, body) = gateway.authorize(&ask).await;
        let mut expected = problem("invalid_client", "Invalid client authentication");
        expected["state"] = "s".into();
        assert_eq!((status, body), (400, expected), "{client}");
    }
    let code = gateway.code(&[]).await;
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        foreign,
    ];
    let (status, body) = gateway.token_for_app(&exchange).await;
    assert_eq!(status, 400);
    assert!(text(&body, "error_description").starts_with("Invalid redirect_uri"));
}

#[tokio::test]
async fn only_the_login_page_speaks_for_users() {
    let gateway = Gateway::new(json!({}));
    let ask = [("client_id", "app"), ("response_type", "code")];
    let (status, body, response) = gateway.post("/oauth2/authorize", &ask).await;
    let expected = problem("invalid_provision_key", "Invalid provision_key");
    assert_eq!((status, body), (400, expected));
    assert_eq!(values(&response.headers, "cache-control"), ["no-store"]);
    assert_eq!(values(&response.headers, "pragma"), ["no-cache"]);
    let nobody = [&ask[..], &[("provision_key", "prov")]].concat();
    let (_, body, _) = gateway.post("/oauth2/authorize", &nobody).await;
    assert_eq!(body["error"], "invalid_authenticated_userid");
    let credentials = [
        ("grant_type", "client_credentials"),
        ("authenticated_userid", "u1"),
    ];
    let (_, body) = gateway.token_for_app(&credentials).await;
    assert_eq!(body["error"], "invalid_provision_key");
}

#[tokio::test]
async fn secrets_travel_over_tls_only() {
    let plain = Gateway::new(json!({}));
    let terminated = Gateway::new(json!({"accept_http_if_already_terminated": true}));
    let ask = async |gateway: &Gateway, protocol: Protocol, forwarded: &str| {
        let request = exchange("POST", "/oauth2/token?grant_type=x");
        let mut request = with_headers(request, &[("x-forwarded-proto", forwarded)]);
        request.protocol = protocol;
        let (status, body, _) = answered(gateway.ask(&mut request).await);
        assert_eq!(status, 400);
        text(&body, "error_description").to_owned()
    };
    let refused = "You must use HTTPS";
    assert_eq!(ask(&plain, Protocol::Http, "https").await, refused);
    assert_eq!(ask(&plain, Protocol::Https, "https").await, refused);
    assert_eq!(ask(&terminated, Protocol::Http, "http").await, refused);
    assert_eq!(
        ask(&terminated, Protocol::Http, "https, http").await,
        "Only one X-Forwarded-Proto header allowed"
    );
    let accepted = ask(&terminated, Protocol::Https, "https").await;
    assert_eq!(accepted, "Invalid client authentication");
}

#[tokio::test]
async fn scopes_must_be_asked_for_where_that_is_mandatory() {
    let gateway = Gateway::new(json!({"mandatory_scope": true}));
    let credentials = ("grant_type", "client_credentials");
    let refused = gateway.token_for_app(&[credentials]).await;
    assert_eq!(
        refused,
        (400, problem("invalid_scope", "You must specify a scope"))
    );
    let refused = gateway
        .token_for_app(&[credentials, ("scope", "admin")])
        .await;
    let expected = problem("invalid_scope", "\"admin\" is an invalid scope");
    assert_eq!(refused, (400, expected));
}

#[tokio::test]
async fn endpoints_are_posted_to() {
    let gateway = Gateway::new(json!({"realm": "r"}));
    for (path, endpoint) in [
        ("/oauth2/token", "token"),
        ("/oauth2/authorize", "authorization"),
    ] {
        let (status, body, response) = answered(gateway.ask(&mut exchange("GET", path)).await);
        let description = format!("The HTTP method GET is invalid for the {endpoint} endpoint");
        assert_eq!(
            (status, body),
            (405, problem("invalid_method", &description))
        );
        let challenge = format!(
            "Bearer realm=\"r\" error=\"invalid_method\" error_description=\"{description}\""
        );
        assert_eq!(values(&response.headers, "www-authenticate"), [challenge]);
    }
}
