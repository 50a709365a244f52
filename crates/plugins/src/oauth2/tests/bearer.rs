//! Requests that carry a token, or none.

use super::*;

#[tokio::test]
async fn requests_without_a_good_token_are_refused() {
    let gateway = Gateway::new(json!({}));
    let (status, body, response) = answered(gateway.ask(&mut exchange("GET", "/a")).await);
    let missing = problem("invalid_request", "The access token is missing");
    assert_eq!((status, body), (401, missing));
    assert_eq!(values(&response.headers, "www-authenticate"), ["Bearer"]);
    let (response, request) = gateway.bearer("nope").await;
    let (status, body, response) = answered(response);
    let description = "The access token is invalid or has expired";
    assert_eq!((status, body), (401, problem("invalid_token", description)));
    let challenge = format!("Bearer error=\"invalid_token\" error_description=\"{description}\"");
    assert_eq!(values(&response.headers, "www-authenticate"), [challenge]);
    assert!(request.consumer.is_none());
}

#[tokio::test]
async fn tokens_are_found_wherever_they_may_stand() {
    let gateway = Gateway::new(json!({"hide_credentials": true}));
    let body = password_token(&gateway).await;
    let token = text(&body, "access_token");
    let query = format!("/a?x=1&access_token={token}");
    let mut in_query = exchange("GET", &query);
    assert!(gateway.ask(&mut in_query).await.is_none());
    assert_eq!(in_query.query.as_deref(), Some("x=1"));
    let form = format!("access_token={token}&y=2");
    let kind = "application/x-www-form-urlencoded";
    let mut in_form = with_body(exchange("POST", "/a"), kind, &form);
    assert!(gateway.plugin.wants_request_body(&in_form));
    assert!(gateway.ask(&mut in_form).await.is_none());
    assert_eq!(in_form.request_body.as_deref(), Some(&b"y=2"[..]));
    for authorization in [
        format!("token {token}"),
        format!("bearer  {token} "),
        token.to_owned(),
    ] {
        let mut request =
            with_headers(exchange("GET", "/a"), &[("authorization", &*authorization)]);
        assert!(gateway.ask(&mut request).await.is_none(), "{authorization}");
        let is_named = authorization.contains(' ');
        assert_eq!(request.headers.contains_key("authorization"), !is_named);
    }
    let mut json = with_body(
        exchange("PUT", "/a"),
        "application/json",
        r#"{"access_token":5}"#,
    );
    let (status, ..) = answered(gateway.ask(&mut json).await);
    assert_eq!(status, 401);
}

#[tokio::test]
async fn a_token_is_good_up_to_the_second_of_its_end() {
    for (age, is_good) in [
        (0, true),
        (7199, true),
        (7200, true),
        (7201, false),
        (9_999_999, false),
    ] {
        let gateway = Gateway::new(json!({}));
        let body = password_token(&gateway).await;
        let made = json!(NOW - age);
        gateway.records.set(super::TOKENS, "created_at", &made);
        let token = text(&body, "access_token");
        assert_eq!(gateway.is_good(token).await, is_good, "{age}");
        // A second time, when the node knows it.
        assert_eq!(gateway.is_good(token).await, is_good, "{age}");
    }
}

#[tokio::test]
async fn a_token_that_is_known_ends_as_well() {
    let gateway = Gateway::new(json!({}));
    let body = password_token(&gateway).await;
    let authorization = format!("Bearer {}", text(&body, "access_token"));
    for (later, is_good) in [(0, true), (7200, true), (7201, false)] {
        let headers = [("authorization", authorization.as_str())];
        let mut request = with_headers(exchange("GET", "/a"), &headers);
        request.times.received_at += Duration::from_secs(later);
        assert_eq!(
            gateway.ask(&mut request).await.is_none(),
            is_good,
            "{later}"
        );
    }
}

#[tokio::test]
async fn a_token_that_was_seen_is_no_good_once_it_is_gone() {
    let gateway = Gateway::new(json!({}));
    let body = password_token(&gateway).await;
    let token = text(&body, "access_token");
    for _ in 0..2 {
        assert!(gateway.is_good(token).await);
    }
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&body, "refresh_token")),
    ];
    assert_eq!(gateway.token_for_app(&refresh).await.0, 200);
    assert!(!gateway.is_good(token).await, "it was exchanged");
}

#[tokio::test]
async fn a_token_may_stand_in_another_header() {
    let gateway = Gateway::new(json!({"auth_header_name": "x-token"}));
    let body = password_token(&gateway).await;
    let token = text(&body, "access_token");
    assert!(!gateway.is_good(token).await);
    let mut request = with_headers(exchange("GET", "/a"), &[("x-token", token)]);
    assert!(gateway.ask(&mut request).await.is_none());
}

#[tokio::test]
async fn tokens_are_for_one_service_or_for_all_that_say_so() {
    let gateway = Gateway::new(json!({}));
    let of_one = text(&password_token(&gateway).await, "access_token").to_owned();
    let elsewhere = async |gateway: &Gateway, token: &str| {
        let authorization = format!("Bearer {token}");
        let request = exchange("GET", "/a");
        let mut request = with_headers(request, &[("authorization", &*authorization)]);
        request.service = Some(service(2));
        gateway.ask(&mut request).await
    };
    assert!(elsewhere(&gateway, &of_one).await.is_some());
    let global = Gateway::beside(&gateway.records, json!({"global_credentials": true}));
    assert!(elsewhere(&global, &of_one).await.is_some());
    assert!(global.is_good(&of_one).await);
    let of_all = text(&password_token(&global).await, "access_token").to_owned();
    assert!(elsewhere(&global, &of_all).await.is_none());
    let (_, body, _) = answered(elsewhere(&gateway, &of_all).await);
    assert_eq!(
        text(&body, "error_description"),
        "The access token is global, but the current plugin is configured without \
         'global_credentials'"
    );
}

#[tokio::test]
async fn who_has_no_token_may_be_anonymous() {
    let gateway = Gateway::new(json!({"anonymous": "bob"}));
    let spoofed = [
        ("x-authenticated-userid", "root"),
        ("x-authenticated-scope", "all"),
    ];
    let mut request = with_headers(exchange("GET", "/a"), &spoofed);
    assert!(gateway.ask(&mut request).await.is_none());
    assert_eq!(request.consumer.unwrap().id, BOB);
    assert!(!request.headers.contains_key("x-authenticated-userid"));
    assert!(!request.headers.contains_key("x-authenticated-scope"));
    let mut known = with_headers(exchange("GET", "/a"), &spoofed);
    known.credential = Some(crate::exchange::Credential { id: KEY });
    assert!(gateway.ask(&mut known).await.is_none());
    assert!(known.consumer.is_none() && !known.headers.contains_key("x-authenticated-userid"));
}

#[tokio::test]
async fn without_records_nobody_is_let_through() {
    let without = compiled_for(people(), "oauth2", config(json!({})));
    let away = Gateway::new(json!({}));
    let body = password_token(&away).await;
    away.records.go_away();
    for plugin in [without, away.plugin] {
        let authorization = format!("Bearer {}", text(&body, "access_token"));
        let request = exchange("GET", "/a");
        let mut request = with_headers(request, &[("authorization", &*authorization)]);
        request.service = Some(service(1));
        let response = access_waiting(plugin, &mut request).await.unwrap();
        assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(request.consumer.is_none());
    }
}
