use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::testing::records::InMemory;
use crate::testing::*;
use crate::{Exchange, Plugin, Response};

/// What a client has, and what became of its request.
struct Answer {
    response: Option<Response>,
    /// `Set-Cookie`, in order.
    cookies: Vec<String>,
    exchange: Exchange<'static>,
}

/// A request through `session` and then `key-auth`, which lets everybody through, at a time.
fn request(session: &'static dyn Plugin, mut exchange: Exchange<'static>, at: u64) -> Answer {
    let key_auth = compiled("key-auth", json!({"anonymous": "bob"}));
    exchange.times.received_at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at);
    let response = access(session, &mut exchange);
    match &response {
        Some(response) => exchange.response.headers = response.headers.clone(),
        None => assert!(access(key_auth, &mut exchange).is_none()),
    }
    session.header_filter(&mut exchange);
    let cookies = values(&exchange.response.headers, "set-cookie");
    let cookies = cookies.into_iter().map(str::to_owned).collect();
    Answer {
        response,
        cookies,
        exchange,
    }
}

/// The same where the plugin waits for the database.
async fn request_kept(
    session: &'static dyn Plugin,
    mut exchange: Exchange<'static>,
    at: u64,
) -> Answer {
    let key_auth = compiled("key-auth", json!({"anonymous": "bob"}));
    exchange.times.received_at = std::time::UNIX_EPOCH + Duration::from_secs(at);
    let response = access_waiting(session, &mut exchange).await;
    match &response {
        Some(response) => exchange.response.headers = response.headers.clone(),
        None => assert!(access(key_auth, &mut exchange).is_none()),
    }
    session.header_filter(&mut exchange);
    // What is written beside the response.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let cookies = values(&exchange.response.headers, "set-cookie");
    let cookies = cookies.into_iter().map(str::to_owned).collect();
    Answer {
        response,
        cookies,
        exchange,
    }
}

fn login(session: &'static dyn Plugin) -> Vec<String> {
    let answer = request(session, exchange("GET", "/a?apikey=ka"), NOW);
    assert!(answer.response.is_none());
    answer.cookies
}

fn with_cookies(exchange: Exchange<'static>, cookies: &[String]) -> Exchange<'static> {
    let pair = |cookie: &String| cookie.split(';').next().unwrap().to_owned();
    let cookies: Vec<String> = cookies.iter().map(pair).collect();
    with_headers(exchange, &[("cookie", &cookies.join("; "))])
}

fn get(cookies: &[String]) -> Exchange<'static> {
    with_cookies(exchange("GET", "/a"), cookies)
}

fn is_alice(answer: &Answer) -> bool {
    let consumer = answer.exchange.consumer.unwrap();
    assert!(consumer.id == ALICE || answer.exchange.credential.is_none());
    consumer.id == ALICE
}

fn session(config: serde_json::Value) -> &'static dyn Plugin {
    let mut all = json!({"secret": "s3cret"});
    let fields = config.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(fields);
    compiled("session", all)
}

#[test]
fn who_has_logged_in_is_known_by_the_cookie() {
    let plugin = session(json!({}));
    let cookies = login(plugin);
    let [cookie] = &cookies[..] else {
        panic!("{cookies:?}");
    };
    assert!(cookie.starts_with("session="));
    assert!(cookie.ends_with("; Path=/; SameSite=Strict; Secure; HttpOnly"));
    let answer = request(plugin, get(&cookies), NOW + 1);
    assert!(is_alice(&answer) && answer.cookies.is_empty());
    assert_eq!(answer.exchange.credential.unwrap().id, KEY);
    let headers = &answer.exchange.headers;
    assert_eq!(values(headers, "x-consumer-username"), ["alice"]);
    assert_eq!(
        values(headers, "x-credential-identifier"),
        [KEY.to_string()]
    );
    assert!(values(headers, "x-anonymous-consumer").is_empty());
}

#[test]
fn nobody_who_has_not_logged_in_gets_a_session() {
    let plugin = session(json!({}));
    let answer = request(plugin, exchange("GET", "/a"), NOW);
    assert!(!is_alice(&answer) && answer.cookies.is_empty());
}

#[test]
fn cookies_of_others_are_passed_over() {
    let cookies = login(session(json!({})));
    for other in [
        session(json!({"secret": "other"})),
        session(json!({"audience": "other"})),
    ] {
        let answer = request(other, get(&cookies), NOW);
        assert!(!is_alice(&answer) && answer.cookies.is_empty());
    }
    let renamed = session(json!({"cookie_name": "other"}));
    let cookie = cookies[0].replacen("session=", "other=", 1);
    assert!(!is_alice(&request(renamed, get(&[cookie]), NOW)));
    let broken = vec![format!("session={}", "x".repeat(5000))];
    assert!(!is_alice(&request(session(json!({})), get(&broken), NOW)));
}

#[test]
fn the_attributes_of_the_cookie_are_settings() {
    let config = json!({
        "cookie_name": "sid", "cookie_path": "/a", "cookie_domain": "example.test",
        "cookie_same_site": "Lax", "cookie_http_only": false, "cookie_secure": false,
    });
    let cookies = login(session(config));
    assert!(cookies[0].starts_with("sid="));
    assert!(cookies[0].ends_with("; Domain=example.test; Path=/a; SameSite=Lax"));
    let config = json!({"cookie_same_site": "None", "cookie_secure": false});
    assert!(login(session(config))[0].ends_with("; SameSite=None; Secure; HttpOnly"));
    let config = json!({"cookie_same_site": "Default"});
    assert!(login(session(config))[0].ends_with("; Path=/; Secure; HttpOnly"));
}

#[test]
fn a_session_ends_when_it_is_not_used_and_lasts_while_it_is() {
    let plugin = session(json!({}));
    let mut cookies = login(plugin);
    assert!(!is_alice(&request(plugin, get(&cookies), NOW + 900)));
    let mut given = 0;
    for minute in 1..1440 {
        let answer = request(plugin, get(&cookies), NOW + minute * 60);
        assert!(is_alice(&answer), "{minute}");
        if !answer.cookies.is_empty() {
            given += 1;
            cookies = answer.cookies;
        }
    }
    assert!(given > 100);
    // The day is over.
    assert!(!is_alice(&request(plugin, get(&cookies), NOW + 86_400)));
}

#[test]
fn a_session_that_is_not_renewed_in_time_is_over() {
    let plugin = session(json!({"idling_timeout": 0, "absolute_timeout": 0}));
    let cookies = login(plugin);
    let answer = request(plugin, get(&cookies), NOW + 2701);
    assert!(is_alice(&answer) && answer.cookies.len() == 1);
    assert!(!is_alice(&request(plugin, get(&cookies), NOW + 3600)));
    assert!(is_alice(&request(plugin, get(&answer.cookies), NOW + 3600)));
}

const FORGOTTEN: &str = "session=; Path=/; SameSite=Strict; Secure; HttpOnly; \
                         Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0";

#[test]
fn a_logout_ends_the_session() {
    let plugin = session(json!({}));
    let cookies = login(plugin);
    let ends = |method: &str, target: &str| {
        let exchange = with_cookies(exchange(method, target), &cookies);
        let answer = request(plugin, exchange, NOW);
        answer.response.map(|response| {
            assert_eq!(response.status, 200);
            answer.cookies
        })
    };
    for (method, target) in [
        ("DELETE", "/a?session_logout=true"),
        ("POST", "/a?x=1&session_logout"),
    ] {
        assert_eq!(ends(method, target).unwrap(), [FORGOTTEN]);
    }
    for (method, target) in [("GET", "/a?session_logout=true"), ("DELETE", "/a")] {
        assert!(ends(method, target).is_none());
    }
    // There is nothing to end.
    let answer = request(plugin, exchange("DELETE", "/a?session_logout"), NOW);
    assert!(answer.response.is_none());
}

#[test]
fn a_field_of_the_body_ends_the_session_where_bodies_are_read() {
    let config = json!({"read_body_for_logout": true, "logout_post_arg": "bye"});
    let (plugin, other) = (session(config), session(json!({})));
    assert!(!other.phases().request_body);
    let cookies = login(plugin);
    for (kind, body, ends) in [
        ("application/x-www-form-urlencoded", "a=1&bye=1", true),
        ("application/json", r#"{"bye":true}"#, true),
        ("application/json", r#"{"bye":false}"#, false),
        ("application/json", r#"{"other":true}"#, false),
        ("text/plain", "bye=1", false),
    ] {
        let exchange = with_body(with_cookies(exchange("POST", "/a"), &cookies), kind, body);
        assert_eq!(plugin.wants_request_body(&exchange), kind != "text/plain");
        let answer = request(plugin, exchange, NOW);
        assert_eq!(answer.response.is_some(), ends, "{body}");
    }
    assert!(!plugin.wants_request_body(&with_body(
        exchange("POST", "/a"),
        "application/json",
        "{}"
    )));
}

#[test]
fn the_session_of_a_consumer_who_is_gone_is_forgotten() {
    let cookies = login(session(json!({})));
    let plugin = compiled_for(Default::default(), "session", json!({"secret": "s3cret"}));
    let answer = request(plugin, get(&cookies), NOW);
    assert!(!is_alice(&answer));
    assert_eq!(answer.cookies, [FORGOTTEN]);
}

#[test]
fn another_login_begins_another_session() {
    let plugin = session(json!({}));
    let cookies = login(plugin);
    let mut other = get(&cookies);
    other.times.received_at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(NOW);
    assert!(access(plugin, &mut other).is_none());
    other.credential = Some(crate::exchange::Credential { id: BOB });
    plugin.header_filter(&mut other);
    assert_eq!(values(&other.response.headers, "set-cookie").len(), 1);
}

#[test]
fn who_is_remembered_needs_no_login_after_the_browser_was_closed() {
    let plugin = session(json!({"remember": true}));
    let cookies = login(plugin);
    let [_, remember] = &cookies[..] else {
        panic!("{cookies:?}");
    };
    assert!(remember.starts_with("remember="));
    assert!(remember.ends_with("; Expires=Thu, 07 Mar 2024 12:34:56 GMT; Max-Age=604800"));
    let remembered = std::slice::from_ref(remember);
    let answer = request(plugin, get(remembered), NOW + 86_400 * 6);
    assert!(is_alice(&answer));
    assert_eq!(answer.cookies.len(), 2);
    assert!(!is_alice(&request(plugin, get(remembered), NOW + 604_800)));
    // A cookie that remembers is no session, nor the other way round.
    let swapped = [remember.replacen("remember=", "session=", 1)];
    assert!(!is_alice(&request(plugin, get(&swapped), NOW)));
    let logout = with_cookies(exchange("DELETE", "/a?session_logout"), &cookies);
    assert_eq!(request(plugin, logout, NOW).cookies.len(), 2);
}

#[test]
fn headers_tell_of_the_session_and_nobody_else_does() {
    let told = [
        "id",
        "audience",
        "subject",
        "timeout",
        "idling-timeout",
        "absolute-timeout",
    ];
    let plugin = session(json!({"request_headers": told, "response_headers": ["timeout"]}));
    let cookies = login(plugin);
    let answer = request(plugin, get(&cookies), NOW + 10);
    let headers = &answer.exchange.headers;
    assert_eq!(values(headers, "session-id")[0].len(), 36);
    assert_eq!(values(headers, "session-audience"), ["default"]);
    assert_eq!(values(headers, "session-subject"), ["alice"]);
    assert_eq!(values(headers, "session-timeout"), ["890"]);
    assert_eq!(values(headers, "session-idling-timeout"), ["890"]);
    assert_eq!(values(headers, "session-absolute-timeout"), ["86390"]);
    let headers = &answer.exchange.response.headers;
    assert_eq!(values(headers, "session-timeout"), ["890"]);
    let liar = with_headers(exchange("GET", "/a"), &[("session-subject", "root")]);
    let answer = request(plugin, liar, NOW);
    assert!(values(&answer.exchange.headers, "session-subject").is_empty());
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("session", json!({})).unwrap();
    assert_eq!(config["secret"].as_str().unwrap().len(), 44);
    assert_eq!(config["idling_timeout"], 900);
    assert_eq!(config["logout_methods"], json!(["POST", "DELETE"]));
    compiled("session", config);
    let old = json!({
        "cookie_lifetime": 60, "cookie_idletime": 30, "cookie_renew": 5, "cookie_discard": 3,
        "cookie_samesite": "off", "cookie_httponly": false, "cookie_persistent": true,
    });
    let config = validated("session", old).unwrap();
    assert_eq!(config["rolling_timeout"], 60);
    assert_eq!(config["idling_timeout"], 30);
    assert_eq!(config["stale_ttl"], 3);
    assert_eq!(config["cookie_same_site"], "Lax");
    assert_eq!(config["cookie_http_only"], false);
    assert_eq!(config["remember"], true);
    // A node that serves without a database.
    let error = validated("session", json!({"storage": "kong"})).unwrap_err();
    let problem = error["fields"]["config"]["storage"].as_str().unwrap();
    assert!(problem.ends_with("use 'cookie'"), "{problem}");
    for (config, field) in [
        (json!({}), "secret"),
        (json!({"secret": ""}), "secret"),
        (json!({"secret": "s", "storage": "kong"}), "storage"),
        (json!({"secret": "s", "cookie_name": "a b"}), "cookie_name"),
        (json!({"secret": "s", "cookie_path": "/\n"}), "cookie_path"),
        (
            json!({"secret": "s", "idling_timeout": -1}),
            "idling_timeout",
        ),
    ] {
        let message = refused("session", config);
        assert!(message.contains(&format!("config.{field}")), "{message}");
    }
}

/// A plugin that keeps sessions in the database.
fn kept(records: &Arc<InMemory>, more: serde_json::Value) -> &'static dyn Plugin {
    let mut config = json!({"secret": "s3cret", "storage": "kong"});
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    compiled_with(records, directory(), "session", config)
}

#[tokio::test]
async fn the_database_knows_who_has_logged_in_and_does_not_tell() {
    let records = Arc::new(InMemory::new());
    let plugin = kept(&records, json!({}));
    let answer = request_kept(plugin, exchange("GET", "/a?apikey=ka"), NOW).await;
    let cookies = answer.cookies;
    assert_eq!(cookies.len(), 1);
    let [(row, lasts)] = &records.all("sessions")[..] else {
        panic!();
    };
    assert_eq!(*lasts, Some(Duration::from_secs(3600)));
    assert_eq!(row["expires"], NOW + 3600);
    let id = row["session_id"].as_str().unwrap();
    assert!(!cookies[0].contains(id) && !row["data"].as_str().unwrap().contains("alice"));
    let answer = request_kept(plugin, get(&cookies), NOW + 1).await;
    assert!(is_alice(&answer) && answer.cookies.is_empty());
    assert_eq!(answer.exchange.credential.unwrap().id, KEY);
    // Another node on the same database, and one on another.
    let other = kept(&records, json!({}));
    assert!(is_alice(&request_kept(other, get(&cookies), NOW + 1).await));
    let elsewhere = kept(&Arc::new(InMemory::new()), json!({}));
    assert!(!is_alice(
        &request_kept(elsewhere, get(&cookies), NOW + 1).await
    ));
    records.set("sessions", "data", &json!("x"));
    assert!(!is_alice(
        &request_kept(plugin, get(&cookies), NOW + 1).await
    ));
}

#[tokio::test]
async fn a_logout_ends_a_kept_session_for_good() {
    let records = Arc::new(InMemory::new());
    let plugin = kept(&records, json!({"remember": true}));
    let login = request_kept(plugin, exchange("GET", "/a?apikey=ka"), NOW).await;
    assert_eq!(records.all("sessions").len(), 2);
    let logout = with_cookies(exchange("DELETE", "/a?session_logout"), &login.cookies);
    let answer = request_kept(plugin, logout, NOW).await;
    assert_eq!(answer.response.unwrap().status, 200);
    assert!(records.all("sessions").is_empty());
    assert!(!is_alice(
        &request_kept(plugin, get(&login.cookies), NOW).await
    ));
}

#[tokio::test]
async fn a_kept_session_that_is_renewed_is_known_by_its_old_cookie_for_a_while() {
    let records = Arc::new(InMemory::new());
    let plugin = kept(&records, json!({"idling_timeout": 0}));
    let login = request_kept(plugin, exchange("GET", "/a?apikey=ka"), NOW).await;
    let at = NOW + 2701;
    let renewed = request_kept(plugin, get(&login.cookies), at).await;
    assert!(is_alice(&renewed) && renewed.cookies.len() == 1);
    let lasts: Vec<_> = records
        .all("sessions")
        .into_iter()
        .map(|row| row.1)
        .collect();
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(lasts, [seconds(10), seconds(3600)]);
    assert!(is_alice(
        &request_kept(plugin, get(&login.cookies), at + 9).await
    ));
    assert!(!is_alice(
        &request_kept(plugin, get(&login.cookies), at + 10).await
    ));
    assert!(is_alice(
        &request_kept(plugin, get(&renewed.cookies), at + 10).await
    ));
}

#[tokio::test]
async fn who_is_remembered_by_the_database_gets_a_new_session() {
    let records = Arc::new(InMemory::new());
    let plugin = kept(&records, json!({"remember": true, "stale_ttl": 0}));
    let login = request_kept(plugin, exchange("GET", "/a?apikey=ka"), NOW).await;
    let [_, remember] = &login.cookies[..] else {
        panic!();
    };
    let remembered = std::slice::from_ref(remember);
    let answer = request_kept(plugin, get(remembered), NOW + 60).await;
    assert!(is_alice(&answer));
    assert_eq!(answer.cookies.len(), 2);
    assert!(!is_alice(
        &request_kept(plugin, get(remembered), NOW + 60).await
    ));
    assert!(is_alice(
        &request_kept(plugin, get(&answer.cookies), NOW + 60).await
    ));
}

#[tokio::test]
async fn a_session_that_is_only_used_stays_where_it_is() {
    let records = Arc::new(InMemory::new());
    let plugin = kept(&records, json!({}));
    let login = request_kept(plugin, exchange("GET", "/a?apikey=ka"), NOW).await;
    let used = request_kept(plugin, get(&login.cookies), NOW + 120).await;
    assert!(is_alice(&used) && used.cookies.len() == 1);
    assert_eq!(records.all("sessions").len(), 1);
    assert!(is_alice(
        &request_kept(plugin, get(&used.cookies), NOW + 121).await
    ));
}

#[tokio::test]
async fn nobody_is_known_while_the_database_is_away() {
    let records = Arc::new(InMemory::new());
    let plugin = kept(&records, json!({}));
    let login = request_kept(plugin, exchange("GET", "/a?apikey=ka"), NOW).await;
    records.go_away();
    assert!(!is_alice(
        &request_kept(plugin, get(&login.cookies), NOW).await
    ));
}
