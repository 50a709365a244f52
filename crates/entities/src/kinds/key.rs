//! Keys in JWK or PEM form.

use serde_json::Value;

use crate::Object;
use crate::format::pem;
use crate::schema::validate::is_reference;
use crate::schema::{CheckRule, Field, Schema, typedefs};

/// The schema of `keys`.
pub(crate) fn schema() -> Schema {
    Schema::new(
        "keys",
        [
            typedefs::id(),
            Field::foreign("set", "key_sets")
                .optional()
                .cascade()
                .description("The group of keys that this one belongs to."),
            Field::string("name")
                .optional()
                .description("An optional, unique label by which the key can be addressed."),
            Field::string("kid").required().description(
                "The `kid` by which tokens point at this key; unique within its group.",
            ),
            Field::string("jwk")
                .referenceable()
                .encrypted()
                .description(
                    "The key as JWK: the JSON document, as text. Its `kid` must equal the one \
                     beside it.",
                ),
            pem_pair(),
            typedefs::tags(),
            typedefs::seconds("created_at"),
            typedefs::seconds("updated_at"),
        ],
    )
    .endpoint_key("name")
    .unique_key("name", &["name"])
    .cache_key(&["kid", "set"])
    .check(CheckRule::mutually_exclusive(&["jwk", "pem"]))
    .check(CheckRule::at_least_one_of(&["jwk", "pem"]))
    .check(CheckRule::custom(&["jwk", "pem", "kid"], usable))
}

fn pem_pair() -> Field {
    Field::record(
        "pem",
        [
            Field::string("private_key")
                .optional()
                .referenceable()
                .encrypted(),
            Field::string("public_key").optional().referenceable(),
        ],
    )
    .optional()
    .check(CheckRule::at_least_one_of(&["private_key", "public_key"]))
    .custom_value(check_pem)
    .description("The key in PEM form, as an alternative to `jwk`; one half may be left out.")
}

fn check_pem(value: &Value) -> Result<(), String> {
    let part = |name: &str| value.get(name).filter(|part| !part.is_null());
    let (public, private) = (part("public_key"), part("private_key"));
    if public.is_some_and(is_reference) || private.is_some_and(is_reference) {
        return Ok(());
    }
    let public = public.and_then(Value::as_str);
    let private = private.and_then(Value::as_str);
    if public.is_some_and(|text| !pem::public_key(text)) {
        return Err("could not load public key".to_owned());
    }
    if private.is_some_and(|text| !pem::private_key(text)) {
        return Err("could not load private key".to_owned());
    }
    match (private, public) {
        (Some(private), Some(public)) if !pem::pair(private, public) => {
            Err("public key does not match private key".to_owned())
        }
        _ => Ok(()),
    }
}

fn usable(entity: &Object) -> Result<(), String> {
    let Some(text) = super::text(entity, "jwk") else {
        return Ok(());
    };
    let Ok(Value::Object(jwk)) = serde_json::from_str(text) else {
        return Err("could not json decode jwk string".to_owned());
    };
    if jwk.get("kid") != entity.get("kid") {
        return Err("kid in jwk.kid must be equal to keys.kid".to_owned());
    }
    let needed: &[&str] = match jwk.get("kty").and_then(Value::as_str) {
        Some("RSA") => &["n", "e"],
        Some("EC") => &["crv", "x", "y"],
        Some("OKP") => &["crv", "x"],
        _ => &["kty of RSA, EC or OKP"],
    };
    if needed
        .iter()
        .any(|name| !jwk.get(*name).is_some_and(Value::is_string))
    {
        return Err("could not load JWK, likely not a valid key".to_owned());
    }
    Ok(())
}
