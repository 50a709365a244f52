//! What a signature has to be.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::*;

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
fn an_rsa_public_key_is_no_shared_secret() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public_pem = pem(pair.public_key());
    let names = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    let keys = names.map(|name| public(name, name, &public_pem)).to_vec();
    let plugin = plugin(json!({}), keys);
    let spki = pair.public_key().as_der().unwrap();
    let windows = public_pem.replace('\n', "\r\n");
    // All the ways in which the key that everybody knows may be written.
    let secrets: [&[u8]; 6] = [
        public_pem.as_bytes(),
        public_pem.trim().as_bytes(),
        windows.as_bytes(),
        spki.as_ref(),
        pair.public_key().as_ref(),
        b"",
    ];
    for credential in names {
        for secret in secrets {
            for (name, method) in [
                ("HS256", hmac::HMAC_SHA256),
                ("HS384", hmac::HMAC_SHA384),
                ("HS512", hmac::HMAC_SHA512),
            ] {
                let header = json!({"typ": "JWT", "alg": name});
                let token = token_of(&header, &json!({"iss": credential}), |text| {
                    mac(method, secret, text)
                });
                assert_eq!(problem(plugin, &token), "Invalid algorithm", "{credential}");
            }
        }
        // What the shared secret would have signed, under the algorithm of the key.
        let header = json!({"typ": "JWT", "alg": credential});
        let token = token_of(&header, &json!({"iss": credential}), |text| {
            mac(hmac::HMAC_SHA256, public_pem.as_bytes(), text)
        });
        assert_eq!(problem(plugin, &token), "Invalid signature", "{credential}");
    }
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let keys = vec![
        shared("a", "HS256", "sa"),
        public("r", "RS256", &pem(pair.public_key())),
    ];
    let plugin = plugin(json!({}), keys);
    let names = [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("nOnE"),
        json!(" none"),
        json!("none "),
        json!("none\0"),
        json!("n\u{f6}ne"),
        json!(""),
        json!("HS0"),
        json!("hs256"),
        json!("HS256 "),
        json!(["none"]),
        json!({"none": true}),
        json!(null),
        json!(false),
        json!(0),
    ];
    for name in names {
        for key in ["a", "r"] {
            for signature in [Vec::new(), b"x".to_vec()] {
                let header = json!({"typ": "JWT", "alg": name});
                let token = token_of(&header, &json!({"iss": key}), |_| signature);
                let told = problem(plugin, &token);
                assert!(told.starts_with("Bad token; invalid alg"), "{name}: {told}");
            }
        }
    }
    let bare = token_of(&json!({"typ": "JWT"}), &json!({"iss": "a"}), |_| Vec::new());
    assert!(problem(plugin, &bare).starts_with("Bad token; invalid alg"));
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
