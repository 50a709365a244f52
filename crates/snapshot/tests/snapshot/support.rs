//! Certificates, configurations, and the means to forge statements.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use keelgate_snapshot::{
    Digest, Position, SealingKeys, Signatories, Signer, Snapshot, Verifier, build,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SignatureAlgorithm,
};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) struct Pem {
    pub(crate) cert: String,
    pub(crate) key: String,
}

pub(crate) fn self_signed(algorithm: &'static SignatureAlgorithm) -> Pem {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let params = CertificateParams::new(vec!["kong_clustering".to_owned()]).unwrap();
    Pem {
        cert: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

pub(crate) fn cluster() -> Pem {
    self_signed(&rcgen::PKCS_ECDSA_P384_SHA384)
}

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn issue(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> Pem {
        self.issue_with(name, purpose, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pem {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        change(&mut params);
        Pem {
            cert: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Another authority below this one.
    pub(crate) fn intermediate(&self) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "intermediate");
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::signed_by(params, key, &self.0).unwrap())
    }
}

pub(crate) fn position(revision: u64) -> Position {
    Position {
        cluster_id: Uuid::from_u128(7),
        epoch: 1,
        revision,
    }
}

pub(crate) fn created_at() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_795_406_746_615)
}

pub(crate) fn config() -> Value {
    json!({
        "_format_version": "3.0",
        "_transform": false,
        "services": [{
            "id": "6a0a9a50-6b1c-4b6a-9c1c-000000000001",
            "name": "billing",
            "host": "billing.internal",
            "port": 80,
            "protocol": "http",
        }],
    })
}

pub(crate) fn snapshot(revision: u64, pem: &Pem) -> Snapshot {
    let signer = Signer::from_pem(&pem.cert, &pem.key).unwrap();
    build(
        &config(),
        position(revision),
        "0.1.0",
        created_at(),
        Some(&signer),
    )
    .unwrap()
}

/// The document with one part replaced; the part must be there.
pub(crate) fn tampered(snapshot: &Snapshot, from: &str, to: &str) -> Bytes {
    let text = std::str::from_utf8(snapshot.document()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    Bytes::from(text.replacen(from, to, 1))
}

pub(crate) fn statement(snapshot: &Snapshot) -> String {
    let document: Value = serde_json::from_slice(snapshot.document()).unwrap();
    document["keelgate"]["statement"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// The document with its statement changed: header, payload and signature are given decoded.
pub(crate) fn restated(
    snapshot: &Snapshot,
    change: impl FnOnce(&mut Value, &mut Value, &mut Vec<u8>),
) -> Bytes {
    let old = statement(snapshot);
    let parts: Vec<Vec<u8>> = old
        .split('.')
        .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap())
        .collect();
    let mut header = serde_json::from_slice(&parts[0]).unwrap();
    let mut payload = serde_json::from_slice(&parts[1]).unwrap();
    let mut signature = parts[2].clone();
    change(&mut header, &mut payload, &mut signature);
    let new = [
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(payload.to_string()),
        URL_SAFE_NO_PAD.encode(signature),
    ]
    .join(".");
    tampered(snapshot, &old, &new)
}

/// The key that every test has under an id.
fn sealing_key(id: &str) -> [u8; 32] {
    Digest::of(id.as_bytes()).0
}

/// Sealing keys with these ids, the first of which seals.
pub(crate) fn sealing_keys(ids: &[&str]) -> SealingKeys {
    let keys: Vec<_> = ids.iter().map(|id| (*id, sealing_key(id))).collect();
    SealingKeys::new(keys.iter().map(|(id, key)| (*id, key))).unwrap()
}

/// Another content under the header of a sealed document, by somebody who has the key.
pub(crate) fn forge_seal(label: &Bytes, content: &Bytes) -> Bytes {
    let label: Value = serde_json::from_slice(label).unwrap();
    let protected = label["protected"].as_str().unwrap();
    let header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(protected).unwrap()).unwrap();
    let key = sealing_key(header["kid"].as_str().unwrap());
    let key = RandomizedNonceKey::new(&AES_256_GCM, &key).unwrap();
    let mut content = content.to_vec();
    let (nonce, tag) = key
        .seal_in_place_separate_tag(Aad::from(protected.as_bytes()), &mut content)
        .unwrap();
    Bytes::from(format!(
        r#"{{"protected":"{protected}","iv":"{}","ciphertext":"{}","tag":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(nonce.as_ref()),
        URL_SAFE_NO_PAD.encode(&content),
        URL_SAFE_NO_PAD.encode(tag.as_ref())
    ))
}

/// Trusts an authority about control planes and others of these names.
pub(crate) fn trusting(
    authority: &Authority,
    control_planes: &[&str],
    others: &[&str],
) -> Verifier {
    let owned = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let (control_planes, others) = (owned(control_planes), owned(others));
    let signatories = Signatories {
        control_planes: &control_planes,
        others: &others,
        own: None,
    };
    Verifier::authority(&authority.pem(), &signatories).unwrap()
}
