//! Trusted certificate authorities.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Object;
use crate::format::pem;
use crate::schema::{CheckRule, Field, Schema, Transformation, typedefs};

/// A trusted certificate authority.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaCertificate {
    /// Identity.
    pub id: Uuid,
    /// The certificate, in PEM.
    pub cert: String,
    /// SHA-256 of the certificate, in hexadecimal.
    #[serde(default)]
    pub cert_digest: Option<String>,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// The schema of `ca_certificates`.
pub(crate) fn schema() -> Schema {
    Schema::new(
        "ca_certificates",
        [
            typedefs::id(),
            typedefs::seconds("created_at"),
            typedefs::seconds("updated_at"),
            typedefs::certificate("cert").required(),
            Field::string("cert_digest"),
            typedefs::tags(),
        ],
    )
    .unique_key("cert_digest", &["cert_digest"])
    .check(CheckRule::custom(&["cert"], one_valid_authority))
    .transformation(Transformation {
        input: &["cert"],
        needs: &[],
        write: digest,
    })
}

fn one_valid_authority(entity: &Object) -> Result<(), String> {
    let text = super::text(entity, "cert").unwrap_or_default();
    if text.matches("-----BEGIN CERTIFICATE-----").count() > 1 {
        return Err("please submit only one certificate at a time".to_owned());
    }
    pem::with_certificate(text, |certificate| {
        let now = x509_parser::time::ASN1Time::now();
        if certificate.validity().not_after < now {
            return Err("certificate expired, \"Not After\" time is in the past".to_owned());
        }
        let authority = certificate
            .basic_constraints()
            .ok()
            .flatten()
            .is_some_and(|constraints| constraints.value.ca);
        if authority {
            Ok(())
        } else {
            Err(
                "certificate does not appear to be a CA because it is missing the \"CA\" basic \
                 constraint"
                    .to_owned(),
            )
        }
    })?
}

fn digest(entity: &mut Object) {
    if let Some(digest) = super::text(entity, "cert").and_then(pem::digest) {
        entity.insert("cert_digest".to_owned(), digest.into());
    }
}
