//! A whole configuration in typed form.

use serde::{Deserialize, Deserializer};

use crate::List;
use crate::kinds::{
    Acl, BasicAuthCredential, CaCertificate, Certificate, Consumer, HmacAuthCredential, JwtSecret,
    KeyAuthCredential, OAuth2Credential, Plugin, Route, Service, Sni, Target, Upstream, Vault,
};

/// A whole configuration, decoded from the flat tables of a snapshot (`config_table` of the hybrid
/// protocol): one list per kind, foreign keys as ids. Absent lists are empty. Kinds of which there may be
/// hundreds of thousands are lists in parts.
///
/// Decoding checks types only; a control plane or the declarative parser has validated the values
/// against the schemas before they became a snapshot.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Upstream applications.
    #[serde(deserialize_with = "list")]
    pub services: List<Service>,
    /// Rules that lead requests to services.
    #[serde(deserialize_with = "list")]
    pub routes: List<Route>,
    /// Known clients.
    #[serde(deserialize_with = "list")]
    pub consumers: List<Consumer>,
    /// Plugin configurations.
    #[serde(deserialize_with = "list")]
    pub plugins: Vec<Plugin>,
    /// Virtual host names that balance over targets.
    #[serde(deserialize_with = "list")]
    pub upstreams: Vec<Upstream>,
    /// Addresses behind upstreams.
    #[serde(deserialize_with = "list")]
    pub targets: Vec<Target>,
    /// Server certificates and client certificates with their keys.
    #[serde(deserialize_with = "list")]
    pub certificates: Vec<Certificate>,
    /// Host names that select a certificate.
    #[serde(deserialize_with = "list")]
    pub snis: Vec<Sni>,
    /// Trusted authorities.
    #[serde(deserialize_with = "list")]
    pub ca_certificates: Vec<CaCertificate>,
    /// Where secrets come from that other entities refer to.
    #[serde(deserialize_with = "list")]
    pub vaults: Vec<Vault>,
    /// API keys of consumers.
    #[serde(deserialize_with = "list")]
    pub keyauth_credentials: List<KeyAuthCredential>,
    /// Names and passwords of consumers.
    #[serde(deserialize_with = "list")]
    pub basicauth_credentials: List<BasicAuthCredential>,
    /// Keys that consumers sign tokens with.
    #[serde(deserialize_with = "list")]
    pub jwt_secrets: List<JwtSecret>,
    /// Secrets that consumers sign requests with.
    #[serde(deserialize_with = "list")]
    pub hmacauth_credentials: List<HmacAuthCredential>,
    /// Applications that act for users.
    #[serde(deserialize_with = "list")]
    pub oauth2_credentials: List<OAuth2Credential>,
    /// Groups of consumers.
    #[serde(deserialize_with = "list")]
    pub acls: List<Acl>,
}

/// `null` and an absent list both mean none.
fn list<'de, D: Deserializer<'de>, L: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<L, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Schemas;

    #[test]
    fn whatever_belongs_to_consumers_is_decoded() {
        let schemas = Schemas::new(Vec::new());
        let mut kinds = schemas.kinds().to_vec();
        kinds.retain(|schema| schema.foreign_keys().any(|key| key.kind == "consumers"));
        assert!(kinds.len() > 5, "{}", kinds.len());
        for schema in kinds {
            // What is not known would be passed over.
            let read: Result<Config, _> = serde_json::from_value(json!({ (schema.name): [5] }));
            assert!(read.is_err(), "{}", schema.name);
        }
    }
}
