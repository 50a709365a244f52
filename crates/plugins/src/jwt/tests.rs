mod signatures;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use keelgate_entities::Reference;
use keelgate_entities::kinds::JwtSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::response::Body;
use crate::testing::*;
use crate::{Exchange, Plugin, Response};

fn credential(key: &str, algorithm: &str) -> JwtSecret {
    JwtSecret {
        id: KEY,
        consumer: Reference(ALICE),
        key: Some(key.to_owned()),
        secret: None,
        rsa_public_key: None,
        algorithm: Some(algorithm.to_owned()),
        tags: None,
    }
}

fn shared(key: &str, algorithm: &str, secret: &str) -> JwtSecret {
    JwtSecret {
        secret: Some(secret.to_owned()),
        ..credential(key, algorithm)
    }
}

/// The plugin, with alice's keys.
fn plugin(config: Value, keys: Vec<JwtSecret>) -> &'static dyn Plugin {
    compiled_for(directory().with_jwt(keys), "jwt", config)
}

/// The plugin, with the secret `sa` under the name `a`.
fn simple(config: Value) -> &'static dyn Plugin {
    plugin(config, vec![shared("a", "HS256", "sa")])
}

fn part(text: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

/// A token with a header of its own; `sign` makes the signature.
fn token_of(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!(
        "{}.{}",
        part(header.to_string().as_bytes()),
        part(claims.to_string().as_bytes())
    );
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", part(&signature))
}

fn mac(algorithm: hmac::Algorithm, secret: &[u8], text: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(algorithm, secret);
    hmac::sign(&key, text).as_ref().to_vec()
}

fn hs256(secret: &str, claims: &Value) -> String {
    token_of(&json!({"typ": "JWT", "alg": "HS256"}), claims, |text| {
        mac(hmac::HMAC_SHA256, secret.as_bytes(), text)
    })
}

fn good() -> String {
    hs256("sa", &json!({"iss": "a"}))
}

fn bearing(token: &str) -> Exchange<'static> {
    let value = format!("Bearer {token}");
    with_headers(exchange("GET", "/a"), &[("authorization", &value)])
}

/// The message of a refusal, or its claims in JSON; and its challenge.
fn refusal(response: Response) -> (String, String) {
    assert_eq!(response.status, 401);
    let challenge = values(&response.headers, "www-authenticate").join("+");
    let text = match response.body {
        Body::Message(message, false) => message,
        Body::Bytes(body) => {
            let kind = values(&response.headers, "content-type");
            assert_eq!(kind, ["application/json; charset=utf-8"]);
            String::from_utf8(body.to_vec()).unwrap()
        }
        other => panic!("{other:?}"),
    };
    (text, challenge)
}

fn refused<'r>(plugin: &'r dyn Plugin, exchange: &mut Exchange<'r>) -> String {
    let response = access(plugin, exchange).expect("the token is refused");
    assert!(exchange.consumer.is_none() && exchange.credential.is_none());
    let (message, challenge) = refusal(response);
    let expected = match message.as_str() {
        "Unauthorized" => "Bearer",
        _ => "Bearer error=\"invalid_token\"",
    };
    assert_eq!(challenge, expected);
    message
}

/// Why a token is refused.
fn problem(plugin: &dyn Plugin, token: &str) -> String {
    refused(plugin, &mut bearing(token))
}

#[test]
fn a_signed_token_lets_the_request_through() {
    let plugin = simple(json!({"cookie_names": ["session_jwt"]}));
    let token = good();
    let cookie = format!("x=1; session_jwt={token}; y");
    for mut exchange in [
        bearing(&token),
        with_headers(
            exchange("GET", "/a"),
            &[("authorization", &format!("bearer   {token}"))],
        ),
        exchange("GET", &format!("/a?b=1&jwt={token}")),
        exchange("GET", &format!("/a?jwt=&jwt={token}&jwt={token}")),
        with_headers(exchange("GET", "/a"), &[("cookie", &cookie)]),
    ] {
        assert!(access(plugin, &mut exchange).is_none());
        assert_eq!(exchange.consumer.unwrap().id, ALICE);
        assert_eq!(exchange.credential.unwrap().id, KEY);
        let header = |name: &str| values(&exchange.headers, name);
        assert_eq!(header("x-consumer-id"), [ALICE.to_string()]);
        assert_eq!(header("x-consumer-username"), ["alice"]);
        assert_eq!(header("x-consumer-custom-id"), ["alice-cid"]);
        assert_eq!(header("x-credential-identifier"), ["a"]);
        let expected = ("authenticated_jwt_token".to_owned(), token.clone());
        assert_eq!(exchange.shared, [expected]);
    }
}

#[test]
fn requests_without_one_good_token_are_refused() {
    let plugin = simple(json!({}));
    let refused = |target: &str, headers: &[(&str, &str)]| {
        refused(plugin, &mut with_headers(exchange("GET", target), headers))
    };
    let none = "Unauthorized";
    assert_eq!(refused("/a", &[]), none);
    assert_eq!(refused("/a?jwt=", &[]), none);
    for value in ["Bearer", "Bearer ", "Basic x", &good(), "earer x"] {
        assert_eq!(refused("/a", &[("authorization", value)]), none, "{value}");
    }
    assert_eq!(refused("/a?jwt", &[]), "Unrecognizable token");
    let several = "Multiple tokens provided";
    assert_eq!(refused("/a?jwt=a&jwt=b", &[]), several);
    assert_eq!(refused("/a?jwt&jwt=b", &[]), several);
    let bearer = format!("Bearer {}", good());
    assert_eq!(refused("/a?jwt=b", &[("authorization", &bearer)]), several);
    for text in ["x", "a.b.c", "a.b"] {
        assert_eq!(problem(plugin, text), "Bad token; invalid JSON");
    }
}

#[test]
fn the_key_is_named_by_a_claim_or_by_the_header() {
    let plugin = simple(json!({"key_claim_name": "kid"}));
    let mac = |text: &[u8]| mac(hmac::HMAC_SHA256, b"sa", text);
    for (header, claims) in [
        (json!({"alg": "HS256"}), json!({"kid": "a"})),
        (json!({"alg": "HS256", "kid": "a"}), json!({})),
        (json!({"alg": "HS256", "kid": "a"}), json!([])),
        (json!({"alg": "HS256", "kid": "z"}), json!({"kid": "a"})),
    ] {
        let token = token_of(&header, &claims, mac);
        let mut exchange = bearing(&token);
        assert!(access(plugin, &mut exchange).is_none(), "{header} {claims}");
    }
    let claims = |claims: Value| problem(plugin, &hs256("sa", &claims));
    assert_eq!(claims(json!({"iss": "a"})), "No mandatory 'kid' in claims");
    assert_eq!(
        claims(json!({"kid": false})),
        "No mandatory 'kid' in claims"
    );
    for odd in [
        json!(""),
        json!(5),
        json!(null),
        json!(["a"]),
        json!({"a": 1}),
    ] {
        assert_eq!(claims(json!({"kid": odd})), "Invalid 'kid' in claims");
    }
}

#[test]
fn the_key_of_an_unknown_consumer_is_unknown() {
    let mut key = shared("a", "HS256", "sa");
    key.consumer = Reference(Uuid::from_u128(0xdead));
    let plugin = plugin(json!({}), vec![key]);
    let expected = "No credentials found for given 'iss'";
    assert_eq!(problem(plugin, &good()), expected);
}

#[test]
fn secrets_may_be_written_in_base64() {
    let keys = || {
        vec![
            shared("a", "HS256", "_-8="),
            shared("b", "HS256", "no base64!"),
        ]
    };
    let plugin = plugin(json!({"secret_is_base64": true}), keys());
    let sign = |text: &[u8]| mac(hmac::HMAC_SHA256, &[0xff, 0xef], text);
    let token = token_of(&json!({"alg": "HS256"}), &json!({"iss": "a"}), sign);
    assert!(access(plugin, &mut bearing(&token)).is_none());
    let written = hs256("_-8=", &json!({"iss": "a"}));
    assert_eq!(problem(plugin, &written), "Invalid signature");
    let token = hs256("no base64!", &json!({"iss": "b"}));
    assert_eq!(problem(plugin, &token), "Invalid key/secret");
}

#[test]
fn claims_are_held_against_the_clock() {
    let plugin = simple(json!({"claims_to_verify": ["exp", "nbf"]}));
    let run = |exp: Value, nbf: Value| {
        let claims = json!({"iss": "a", "exp": exp, "nbf": nbf});
        let token = hs256("sa", &claims);
        let response = access(plugin, &mut bearing(&token))?;
        let (body, challenge) = refusal(response);
        assert_eq!(challenge, "Bearer error=\"invalid_token\"");
        Some(serde_json::from_str::<Value>(&body).unwrap())
    };
    let now = NOW;
    assert_eq!(run(json!(now + 1), json!(now)), None);
    assert_eq!(run(json!(now as f64 + 0.5), json!(now as f64 - 0.5)), None);
    let expired = json!({"exp": "token expired"});
    assert_eq!(run(json!(now), json!(now)), Some(expired.clone()));
    assert_eq!(run(json!(-1), json!(now)), Some(expired));
    let early = json!({"nbf": "token not valid yet"});
    assert_eq!(run(json!(now + 9), json!(now + 1)), Some(early));
    let odd = json!({"exp": "must be a number", "nbf": "must be a number"});
    assert_eq!(run(json!((now + 9).to_string()), json!(null)), Some(odd));
    let both = json!({"exp": "token expired", "nbf": "token not valid yet"});
    assert_eq!(run(json!(1), json!(1e300)), Some(both));

    let unasked = simple(json!({}));
    let token = hs256("sa", &json!({"iss": "a", "exp": 1, "nbf": now + 9}));
    assert!(access(unasked, &mut bearing(&token)).is_none());
}

#[test]
fn a_token_may_be_used_again_until_it_expires() {
    let plugin = simple(json!({"claims_to_verify": ["exp"]}));
    let token = hs256("sa", &json!({"iss": "a", "exp": NOW + 60}));
    let at = |seconds: u64| {
        let mut exchange = bearing(&token);
        exchange.times.received_at += std::time::Duration::from_secs(seconds);
        access(plugin, &mut exchange).is_none()
    };
    assert_eq!(
        [0, 0, 59, 60, 6000].map(at),
        [true, true, true, false, false]
    );
}

#[test]
fn tokens_may_not_last_too_long() {
    let config = json!({"claims_to_verify": ["exp"], "maximum_expiration": 300});
    let plugin = simple(config);
    let token = |exp: Value| hs256("sa", &json!({"iss": "a", "exp": exp}));
    assert!(access(plugin, &mut bearing(&token(json!(NOW + 300)))).is_none());
    let expected = r#"{"exp":"exceeds maximum allowed expiration"}"#;
    assert_eq!(problem(plugin, &token(json!(NOW + 301))), expected);
}

#[test]
fn requests_without_a_good_token_may_be_anonymous() {
    let plugin = simple(json!({"anonymous": "bob"}));
    let caller = |mut exchange: Exchange<'static>| {
        assert!(access(plugin, &mut exchange).is_none());
        exchange.consumer.unwrap().id
    };
    assert_eq!(caller(exchange("GET", "/a")), BOB);
    assert_eq!(caller(bearing("x")), BOB);
    assert_eq!(caller(bearing(&good())), ALICE);
}

#[test]
fn preflight_requests_may_pass() {
    let plugin = simple(json!({"run_on_preflight": false}));
    assert!(access(plugin, &mut exchange("OPTIONS", "/a")).is_none());
    assert!(access(plugin, &mut exchange("GET", "/a")).is_some());
}

#[test]
fn the_realm_is_named() {
    let plugin = simple(json!({"realm": "r"}));
    let challenge = |mut exchange| refusal(access(plugin, &mut exchange).unwrap()).1;
    assert_eq!(challenge(exchange("GET", "/a")), "Bearer realm=\"r\"");
    let rejection = "Bearer realm=\"r\" error=\"invalid_token\"";
    assert_eq!(challenge(bearing("x")), rejection);
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("jwt", json!({})).unwrap();
    let expected = json!({
        "uri_param_names": ["jwt"], "cookie_names": [], "key_claim_name": "iss",
        "secret_is_base64": false, "claims_to_verify": null, "anonymous": null,
        "run_on_preflight": true, "maximum_expiration": 0,
        "header_names": ["authorization"], "realm": null,
    });
    assert_eq!(config, expected);
    compiled("jwt", config);

    let error = validated(
        "jwt",
        json!({"maximum_expiration": 60, "claims_to_verify": ["nbf"]}),
    )
    .unwrap_err();
    let problem = "failed conditional validation given value of field 'config.maximum_expiration'";
    assert_eq!(error["fields"]["@entity"], json!([problem]));
    let error = validated("jwt", json!({"claims_to_verify": ["aud"]})).unwrap_err();
    assert_eq!(
        error["fields"]["config"]["claims_to_verify"],
        json!(["expected one of: exp, nbf"])
    );
    let message = refused_header(json!({"header_names": ["a b"]}));
    assert!(message.contains("config.header_names"), "{message}");
}

fn refused_header(config: Value) -> String {
    crate::testing::refused("jwt", config)
}

#[test]
fn secrets_do_not_show() {
    let keys = vec![shared("a", "HS256", "s3cr3t")];
    let shown = format!("{:?} {:?}", keys, directory().with_jwt(keys.clone()));
    assert!(!shown.contains("s3cr3t"), "{shown}");
}
