//! References to secrets: `{vault://env/my-secret}` and `{vault://env/creds/password}`.

use std::collections::BTreeMap;

/// Whether the text is a reference and not a value.
pub(crate) fn is_reference(text: &str) -> bool {
    text.starts_with("{vault://") && text.ends_with('}')
}

/// A reference to a secret: `{vault://VAULT/NAME}`, with `/MEMBER` behind it where the secret is an
/// object in JSON, `?prefix=P` where another prefix counts than the vault's own, and `#2` for the
/// value before the last rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultReference {
    /// Which vault: `env`, or the prefix of an entity.
    pub vault: String,
    name: String,
    member: Option<String>,
    prefix: Option<String>,
    previous: bool,
}

impl VaultReference {
    /// Reads a reference.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text
            .strip_prefix("{vault://")
            .and_then(|rest| rest.strip_suffix('}'))
            .ok_or("not a reference")?;
        let (inner, version) = match inner.split_once('#') {
            Some((inner, version)) => (inner, Some(version)),
            None => (inner, None),
        };
        let previous = match version.map(str::parse::<u32>) {
            None | Some(Ok(1)) => false,
            Some(Ok(2)) => true,
            Some(_) => return Err("its version is neither 1 nor 2".to_owned()),
        };
        let (path, query) = inner.split_once('?').unwrap_or((inner, ""));
        let (vault, path) = path.split_once('/').unwrap_or((path, ""));
        let is_directory = path.ends_with('/');
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let member = match parts.len() {
            0 => return Err("it names no secret".to_owned()),
            2.. if !is_directory => parts.pop(),
            _ => None,
        };
        let mut arguments = url::form_urlencoded::parse(query.as_bytes());
        Ok(Self {
            vault: vault.to_owned(),
            name: unescaped(&parts.join("/")),
            member: member.map(unescaped),
            prefix: arguments
                .find_map(|(name, value)| (name == "prefix").then(|| value.into_owned())),
            previous,
        })
    }

    /// What it stands for among variables of the environment. `prefix` goes before the name, unless
    /// the reference has its own.
    ///
    /// # Errors
    /// Why there is nothing. The text has no part of a secret.
    pub fn read_environment(
        &self,
        variable: impl Fn(&str) -> Option<String>,
        prefix: Option<&str>,
    ) -> Result<String, String> {
        let prefix = self.prefix.as_deref().or(prefix).unwrap_or_default();
        let mut name = format!("{prefix}{}", self.name)
            .replace('-', "_")
            .to_ascii_uppercase();
        if self.previous {
            name.push_str("_PREVIOUS");
        }
        let value =
            variable(&name).ok_or_else(|| format!("the environment variable {name} is not set"))?;
        let Some(member) = &self.member else {
            return Ok(value);
        };
        let object: serde_json::Value = serde_json::from_str(&value)
            .map_err(|_| format!("the environment variable {name} holds no JSON object"))?;
        match object.get(member) {
            Some(serde_json::Value::String(text)) => Ok(text.clone()),
            Some(other) if other.is_number() || other.is_boolean() => Ok(other.to_string()),
            _ => Err(format!(
                "the object in the environment variable {name} has no text member {member}"
            )),
        }
    }
}

/// With `%2F` and the like read.
fn unescaped(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

/// What a reference of the node's own settings stands for; `Err` says why there is nothing. Only
/// the environment can be read before there is a configuration.
pub(crate) fn resolve(
    reference: &str,
    environment: &BTreeMap<String, String>,
    default_prefix: Option<&str>,
) -> Result<String, String> {
    let reference = VaultReference::parse(reference)?;
    if reference.vault != "env" {
        return Err(format!(
            "no vault called '{}' can be read at start; only env can",
            reference.vault
        ));
    }
    reference.read_environment(|name| environment.get(name).cloned(), default_prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> BTreeMap<String, String> {
        [
            ("MY_SECRET", "s3cret"),
            ("APP_PG", r#"{"password":"p","port":5432}"#),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
    }

    #[test]
    fn names_members_and_prefixes_are_found() {
        let resolve = |reference| resolve(reference, &environment(), None);
        assert_eq!(resolve("{vault://env/my-secret}").unwrap(), "s3cret");
        assert_eq!(resolve("{vault://env/app-pg/password}").unwrap(), "p");
        assert_eq!(
            resolve("{vault://env/pg/port?prefix=app_}").unwrap(),
            "5432"
        );
        assert_eq!(
            super::resolve("{vault://env/pg/password}", &environment(), Some("app_")).unwrap(),
            "p"
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let resolve = |reference| resolve(reference, &environment(), None).unwrap_err();
        assert!(resolve("{vault://env/other}").contains("OTHER"));
        assert!(resolve("{vault://aws/x}").contains("aws"));
        assert!(resolve("{vault://env/my-secret/x}").contains("no JSON"));
        assert!(resolve("{vault://env/}").contains("names no secret"));
        assert!(resolve("{vault://env/other#3}").contains("version"));
        assert!(resolve("{vault://env/other#2}").contains("OTHER_PREVIOUS"));
    }

    #[test]
    fn no_part_of_a_secret_is_told() {
        let environment = [("A".to_owned(), "{\"p\": [\"s3cret\"]".to_owned())].into();
        let told = super::resolve("{vault://env/a/p}", &environment, None).unwrap_err();
        assert!(!told.contains("s3cret"), "{told}");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_a_reference_or_refused(inner in ".{0,40}") {
            if let Ok(reference) = VaultReference::parse(&format!("{{vault://{inner}}}")) {
                let _ = reference.read_environment(|_| Some("{}".to_owned()), None);
            }
        }
    }
}
