use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding,
};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
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

fn public(key: &str, algorithm: &str, pem: &str) -> JwtSecret {
    JwtSecret {
        rsa_public_key: Some(pem.to_owned()),
        ..credential(key, algorithm)
    }
}

fn pem(key: &impl AsDer<PublicKeyX509Der<'static>>) -> String {
    let der = BASE64_STANDARD.encode(key.as_der().unwrap().as_ref());
    format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
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
fn a_key_that_a_token_brings_along_is_not_believed() {
    let plugin = simple(json!({"key_claim_name": "kid"}));
    for name in ["../../../dev/null", "' OR 1=1 --", "a\0", "a|id", "A"] {
        let header = json!({"alg": "HS256", "kid": name});
        let token = token_of(&header, &json!({}), |text| {
            mac(hmac::HMAC_SHA256, b"", text)
        });
        let expected = "No credentials found for given 'kid'";
        assert_eq!(problem(plugin, &token), expected, "{name}");
    }
    let jwk = json!({"kty": "oct", "k": part(b"mine")});
    let header =
        json!({"alg": "HS256", "kid": "a", "jwk": jwk, "jku": "https://x.test/k", "x5u": "x"});
    let token = token_of(&header, &json!({}), |text| {
        mac(hmac::HMAC_SHA256, b"mine", text)
    });
    assert_eq!(problem(plugin, &token), "Invalid signature");
}

#[test]
fn only_the_algorithm_of_the_credential_counts() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let pem = pem(pair.public_key());
    let keys = vec![
        shared("a", "HS256", "sa"),
        shared("a512", "HS512", "sa"),
        public("e", "ES256", &pem),
    ];
    let plugin = plugin(json!({}), keys);
    // The public key as a shared secret: everybody knows it.
    let der = pair.public_key().as_der().unwrap();
    for secret in [pem.as_bytes(), pem.trim().as_bytes(), der.as_ref(), b""] {
        for (name, method) in [("HS256", hmac::HMAC_SHA256), ("HS512", hmac::HMAC_SHA512)] {
            let header = json!({"alg": name});
            let token = token_of(&header, &json!({"iss": "e"}), |text| {
                mac(method, secret, text)
            });
            assert_eq!(problem(plugin, &token), "Invalid algorithm");
        }
    }
    let header = json!({"alg": "HS512"});
    let token = token_of(&header, &json!({"iss": "a"}), |text| {
        mac(hmac::HMAC_SHA512, b"sa", text)
    });
    assert_eq!(problem(plugin, &token), "Invalid algorithm");
    for none in ["none", "None", "NONE", "nOnE", "", "HS0"] {
        for signature in [Vec::new(), b"x".to_vec()] {
            let token = token_of(&json!({"alg": none}), &json!({"iss": "a"}), |_| signature);
            assert_eq!(problem(plugin, &token), "Bad token; invalid alg", "{none}");
        }
    }
    // Without a signature, whatever the header says.
    let token = token_of(&json!({"alg": "HS256"}), &json!({"iss": "a"}), |_| {
        Vec::new()
    });
    assert_eq!(problem(plugin, &token), "Invalid signature");
    let token = token_of(&json!({"alg": "ES256"}), &json!({"iss": "e"}), |_| {
        vec![0; 64]
    });
    assert_eq!(problem(plugin, &token), "Invalid signature");
}

#[test]
fn a_changed_token_is_refused() {
    let plugin = simple(json!({}));
    let token = good();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let changed = signed.replace(&part(b"{\"iss\":\"a\"}"), &part(b"{\"iss\":\"a\" }"));
    assert_ne!(changed, signed);
    assert_eq!(
        problem(plugin, &format!("{changed}.{signature}")),
        "Invalid signature"
    );
    assert_eq!(problem(plugin, &format!("{token}x")), "Invalid signature");
    assert_eq!(problem(plugin, &format!("{signed}.")), "Invalid signature");
    let short = &signature[..signature.len() - 4];
    assert_eq!(
        problem(plugin, &format!("{signed}.{short}")),
        "Invalid signature"
    );
    assert_eq!(
        problem(plugin, &hs256("sb", &json!({"iss": "a"}))),
        "Invalid signature"
    );
}

/// How tokens of one algorithm are signed.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

#[test]
fn every_algorithm_verifies_what_it_signed_and_nothing_else() {
    let random = SystemRandom::new();
    let mut keys = Vec::new();
    let mut signers: Vec<(&str, Sign)> = Vec::new();
    for (name, method) in [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ] {
        keys.push(shared(name, name, "s"));
        signers.push((name, Box::new(move |text| mac(method, b"s", text))));
    }
    for (name, method) in [
        ("ES256", &ECDSA_P256_SHA256_FIXED_SIGNING),
        ("ES384", &ECDSA_P384_SHA384_FIXED_SIGNING),
        ("ES512", &ECDSA_P521_SHA512_FIXED_SIGNING),
    ] {
        let pair = EcdsaKeyPair::generate(method).unwrap();
        keys.push(public(name, name, &pem(pair.public_key())));
        let random = random.clone();
        let sign = move |text: &[u8]| pair.sign(&random, text).unwrap().as_ref().to_vec();
        signers.push((name, Box::new(sign)));
    }
    let pair = Ed25519KeyPair::generate().unwrap();
    keys.push(public("EdDSA", "EdDSA", &pem(pair.public_key())));
    signers.push((
        "EdDSA",
        Box::new(move |text| pair.sign(text).as_ref().to_vec()),
    ));
    let pair = std::sync::Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    let methods: [(&str, &'static dyn RsaEncoding); 6] = [
        ("RS256", &signature::RSA_PKCS1_SHA256),
        ("RS384", &signature::RSA_PKCS1_SHA384),
        ("RS512", &signature::RSA_PKCS1_SHA512),
        ("PS256", &signature::RSA_PSS_SHA256),
        ("PS384", &signature::RSA_PSS_SHA384),
        ("PS512", &signature::RSA_PSS_SHA512),
    ];
    for (name, method) in methods {
        keys.push(public(name, name, &pem(pair.public_key())));
        let (pair, random) = (std::sync::Arc::clone(&pair), random.clone());
        let sign = move |text: &[u8]| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(method, &random, text, &mut signature).unwrap();
            signature
        };
        signers.push((name, Box::new(sign)));
    }
    let plugin = plugin(json!({}), keys);
    for (name, sign) in &signers {
        let claims = json!({"iss": name});
        let token = token_of(&json!({"alg": name}), &claims, sign);
        let mut exchange = bearing(&token);
        assert!(access(plugin, &mut exchange).is_none(), "{name}");
        assert_eq!(
            values(&exchange.headers, "x-credential-identifier"),
            [*name]
        );
        for (_, other) in &signers {
            let token = token_of(&json!({"alg": name}), &claims, |_| other(b"something else"));
            assert_eq!(problem(plugin, &token), "Invalid signature", "{name}");
        }
        let token = token_of(&json!({"alg": name}), &claims, |text| {
            sign(text)[1..].to_vec()
        });
        assert_eq!(problem(plugin, &token), "Invalid signature", "{name}");
    }
}

/// 1024 bits, which nobody should trust.
const SHORT_RSA_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDd9DH1FlrN7NerNHdXTOGE3NDa
cP+umuZzT4yUOhwJA9jeC+83ecokFuDw3f/E1EveM2epVAAYs2UAGtx3vSGUS6vd
I+4pjdC0/532Rjda+x83o3CnabcEXSHY9mM5x6DdTYoEMmGpF0zg3h/PV8AARnK/
oxLlOGxTp4EfFw9IkwIDAQAB
-----END PUBLIC KEY-----";

#[test]
fn credentials_that_cannot_verify_admit_nobody() {
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let keys = vec![
        credential("secretless", "HS256"),
        credential("keyless", "RS256"),
        public("garbled", "RS256", "no key"),
        public("other", "ES256", &pem(ed25519.public_key())),
        public("short", "RS256", SHORT_RSA_KEY),
        shared("unknown", "HS1", "s"),
    ];
    let plugin = plugin(json!({}), keys);
    let problem = |algorithm: &str, key: &str, length: usize| {
        let header = json!({"alg": algorithm});
        let token = token_of(&header, &json!({"iss": key}), |_| vec![1; length]);
        problem(plugin, &token)
    };
    let unusable = "Invalid key/secret";
    assert_eq!(problem("HS256", "secretless", 32), unusable);
    assert_eq!(problem("RS256", "keyless", 256), unusable);
    assert_eq!(problem("RS256", "garbled", 256), unusable);
    assert_eq!(problem("ES256", "other", 64), unusable);
    let refused = [unusable, "Invalid signature"];
    assert!(refused.contains(&problem("RS256", "short", 128).as_str()));
    let missing = "No credentials found for given 'iss'";
    assert_eq!(problem("HS256", "unknown", 32), missing);
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
