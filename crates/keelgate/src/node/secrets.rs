//! The secrets that entities refer to, as this node finds them.

use keelgate_entities::kinds::Vault;
use keelgate_runtime::Secrets;
use keelgate_settings::{Settings, VaultReference};

/// The kind of vault that this build can read: variables of the environment.
const ENVIRONMENT: &str = "env";

/// The vaults of this node.
pub(crate) struct Vaults {
    /// Goes before the names in `{vault://env/…}`.
    prefix: Option<String>,
    /// Whether the settings let the environment be read.
    may_read: bool,
}

impl Vaults {
    pub(crate) fn new(settings: &Settings) -> Self {
        let allowed = |name: &String| matches!(name.as_str(), "bundled" | ENVIRONMENT);
        Self {
            prefix: settings.node.vault_env_prefix.clone(),
            may_read: settings.node.vaults.iter().any(allowed),
        }
    }

    fn find<'v>(&'v self, name: &str, vaults: &'v [Vault]) -> Result<Option<&'v str>, String> {
        let (kind, prefix) = match vaults.iter().find(|vault| vault.prefix == name) {
            Some(vault) => {
                let prefix = vault.config.get("prefix").and_then(|value| value.as_str());
                (vault.name.as_str(), prefix)
            }
            None if name == ENVIRONMENT => (ENVIRONMENT, self.prefix.as_deref()),
            None => return Err(format!("could not find vault ({name})")),
        };
        if kind != ENVIRONMENT {
            return Err(format!("this build reads no vaults of the kind '{kind}'"));
        }
        if !self.may_read {
            return Err("the setting vaults does not have 'env'".to_owned());
        }
        Ok(prefix)
    }
}

impl Secrets for Vaults {
    fn read(&self, reference: &str, vaults: &[Vault]) -> Result<String, String> {
        let reference = VaultReference::parse(reference)?;
        let prefix = self.find(&reference.vault, vaults)?;
        reference.read_environment(|name| std::env::var(name).ok(), prefix)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A variable that every process of the tests has.
    const THERE: &str = "CARGO_MANIFEST_DIR";

    fn vaults() -> Vec<Vault> {
        let vault = |prefix: &str, name: &str, config| {
            json!({
                "id": "6a0a9a50-6b1c-4b6a-9c1c-000000000001",
                "prefix": prefix, "name": name, "config": config,
            })
        };
        let vaults = json!([
            vault("build", "env", json!({"prefix": "cargo_"})),
            vault("cloud", "aws", json!({})),
        ]);
        serde_json::from_value(vaults).unwrap()
    }

    fn read(own: &Vaults, reference: &str) -> Result<String, String> {
        own.read(reference, &vaults())
    }

    #[test]
    fn entities_and_the_setting_put_their_prefix_before_names() {
        let expected = std::env::var(THERE).unwrap();
        let own = |prefix: Option<&str>| Vaults {
            prefix: prefix.map(str::to_owned),
            may_read: true,
        };
        for (own, reference) in [
            (own(None), "{vault://env/cargo-manifest-dir}"),
            (own(Some("cargo_")), "{vault://env/manifest-dir}"),
            (own(None), "{vault://build/manifest-dir}"),
            (own(Some("x_")), "{vault://build/manifest-dir}"),
            (own(None), "{vault://build/dir?prefix=cargo-manifest-}"),
        ] {
            assert_eq!(read(&own, reference).as_ref(), Ok(&expected), "{reference}");
        }
    }

    #[test]
    fn vaults_that_cannot_be_read_are_told() {
        let mut own = Vaults {
            prefix: None,
            may_read: true,
        };
        let why = |own: &Vaults, reference| read(own, reference).unwrap_err();
        assert!(why(&own, "{vault://nowhere/a}").contains("nowhere"));
        assert!(why(&own, "{vault://cloud/a}").contains("'aws'"));
        assert!(why(&own, "{vault://env/not-set-anywhere}").contains("NOT_SET_ANYWHERE"));
        own.may_read = false;
        assert!(why(&own, "{vault://env/cargo-manifest-dir}").contains("vaults"));
    }
}
