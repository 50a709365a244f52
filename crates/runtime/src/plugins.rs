//! Where compiled plugins come from.

use std::sync::Arc;

use keelgate_entities::kinds;
use keelgate_plugins::{Directory, Plugin, Registry};

use crate::chain::Scopes;
use crate::secrets::{References, Resolved, Unusable};
use crate::streams::{self, Subsystems};
use crate::{CompileError, Env};

/// The plugins that this node knows. It outlives snapshots, and so does the state that plugins
/// keep in it (counters of a rate limit).
pub trait Plugins: Send + Sync {
    /// Compiles one configuration.
    ///
    /// # Errors
    /// What is wrong with the configuration, in one line.
    fn compile(
        &self,
        plugin: &kinds::Plugin,
        directory: &Arc<Directory>,
    ) -> Result<Arc<dyn Plugin>, String>;

    /// The plugin's place in the chain: the greatest runs first. `None` for an unknown plugin.
    fn priority(&self, name: &str) -> Option<i32>;

    /// Shows every reference to a secret in the plugin's settings, with the dotted path of its
    /// setting, to `act`, which puts what it stands for in its place.
    fn each_reference(&self, _plugin: &mut kinds::Plugin, _act: &mut dyn FnMut(&str, &mut String)) {
    }

    /// Whether requests must not pass without the plugin; those that only tell others about them
    /// may.
    fn is_needed(&self, _name: &str) -> bool {
        true
    }
}

impl Plugins for Registry {
    fn compile(
        &self,
        plugin: &kinds::Plugin,
        directory: &Arc<Directory>,
    ) -> Result<Arc<dyn Plugin>, String> {
        Self::compile(self, plugin, directory).map_err(|error| error.reason.to_string())
    }

    fn priority(&self, name: &str) -> Option<i32> {
        Self::priority(self, name)
    }

    fn each_reference(&self, plugin: &mut kinds::Plugin, act: &mut dyn FnMut(&str, &mut String)) {
        Self::each_reference(self, plugin, act);
    }

    fn is_needed(&self, name: &str) -> bool {
        Self::is_needed(self, name)
    }
}

/// The plugins of requests, and those of sessions.
#[derive(Default)]
pub(crate) struct Both {
    pub(crate) http: Scopes,
    pub(crate) stream: Scopes,
}

/// Compiles the plugins of one configuration.
pub(crate) struct PluginCompiler<'c> {
    pub(crate) env: &'c Env,
    pub(crate) references: References<'c>,
    pub(crate) directory: &'c Arc<Directory>,
    pub(crate) has_streams: bool,
}

impl PluginCompiler<'_> {
    /// Plugins that cannot act on streams although they should are among `flaws`, if there are
    /// streams; so are those that cannot run for want of a secret.
    pub(crate) fn compile(
        &self,
        plugins: Vec<kinds::Plugin>,
        flaws: &mut Vec<CompileError>,
    ) -> Result<Both, CompileError> {
        let mut scopes = Both::default();
        for mut plugin in plugins.into_iter().filter(|plugin| plugin.enabled) {
            let Some(priority) = self.env.plugins.priority(&plugin.name) else {
                return Err(problem(
                    &plugin,
                    "this node has no such plugin".to_owned(),
                    "remove it, disable it, or use a build that has it",
                ));
            };
            let Some(compiled) = self.compile_one(&mut plugin, flaws)? else {
                continue;
            };
            let place = (
                plugin.route.map(|route| route.0),
                plugin.service.map(|service| service.0),
            );
            let consumer = plugin.consumer.map(|consumer| consumer.0);
            let subsystems = Subsystems::of(&plugin);
            if subsystems.stream && self.has_streams {
                flaws.extend(streams::check_plugin(&plugin, &*compiled).err());
                let compiled = Arc::clone(&compiled);
                scopes
                    .stream
                    .add(&plugin.name, priority, place, consumer, compiled);
            }
            if subsystems.http {
                scopes
                    .http
                    .add(&plugin.name, priority, place, consumer, compiled);
            }
        }
        Ok(scopes)
    }

    /// What runs for a plugin; none for one that requests pass without. What secrets are is not
    /// told, and not a matter of the snapshot: with a wrong one, everything else serves.
    fn compile_one(
        &self,
        plugin: &mut kinds::Plugin,
        flaws: &mut Vec<CompileError>,
    ) -> Result<Option<Arc<dyn Plugin>>, CompileError> {
        let mut resolved = None;
        let plugins = &self.env.plugins;
        plugins.each_reference(plugin, &mut |field, text| {
            let resolved = resolved.get_or_insert_with(Resolved::default);
            resolved.put(self.references, field, text);
        });
        let compiled = plugins.compile(plugin, self.directory);
        let Some(resolved) = resolved else {
            let mend = "mend its configuration, or disable it";
            return compiled
                .map(Some)
                .map_err(|what| problem(plugin, what, mend));
        };
        let unresolved = resolved.problems.iter();
        flaws.extend(unresolved.map(|what| {
            let mend = "set what it refers to on this node; until then the setting is empty";
            problem(plugin, what.clone(), mend)
        }));
        compiled.map(Some).or_else(|what| {
            let is_needed = plugins.is_needed(&plugin.name);
            if self.references.are_read() {
                let what = resolved.without_secrets(what);
                let mend = match is_needed {
                    true => "mend what it refers to; until then its requests are answered 500",
                    false => "mend what it refers to; until then requests pass without it",
                };
                flaws.push(problem(plugin, what, mend));
            }
            Ok(is_needed.then(|| Arc::new(Unusable) as Arc<dyn Plugin>))
        })
    }
}

fn problem(plugin: &kinds::Plugin, what: String, mend: &'static str) -> CompileError {
    CompileError {
        kind: "plugins",
        id: plugin.id,
        name: Some(plugin.name.clone()),
        what,
        mend,
    }
}

#[cfg(test)]
mod tests {
    use keelgate_entities::kinds::Vault;
    use keelgate_entities::schema::is_reference;
    use keelgate_plugins::Phases;
    use serde_json::{Value, json};

    use super::*;
    use crate::{Runtime, Secrets};

    /// Plugins that cannot do without a token of letters; `log` only tells others.
    struct Tokens;

    struct Token;

    impl Plugin for Token {
        fn phases(&self) -> Phases {
            Phases::default()
        }
    }

    impl Plugins for Tokens {
        fn compile(
            &self,
            plugin: &kinds::Plugin,
            _: &Arc<Directory>,
        ) -> Result<Arc<dyn Plugin>, String> {
            match plugin.config["token"].as_str() {
                Some(token) if !token.is_empty() && !token.contains('!') => Ok(Arc::new(Token)),
                token => Err(format!(
                    "config.token: '{}' is no token",
                    token.unwrap_or("")
                )),
            }
        }

        fn priority(&self, _: &str) -> Option<i32> {
            Some(1)
        }

        fn each_reference(
            &self,
            plugin: &mut kinds::Plugin,
            act: &mut dyn FnMut(&str, &mut String),
        ) {
            if let Value::String(text) = &mut plugin.config["token"]
                && is_reference(text)
            {
                act("token", text);
            }
        }

        fn is_needed(&self, name: &str) -> bool {
            name != "log"
        }
    }

    struct Kept;

    impl Secrets for Kept {
        fn read(&self, reference: &str, vaults: &[Vault]) -> Result<String, String> {
            assert_eq!(vaults.len(), 1);
            match reference {
                "{vault://env/good}" => Ok("abc".to_owned()),
                "{vault://env/bad}" => Ok("s3cret!".to_owned()),
                _ => Err("not set".to_owned()),
            }
        }
    }

    /// How many plugins run, how many of them refuse, and what is told.
    fn compiled(
        secrets: Option<Arc<dyn Secrets>>,
        name: &str,
        token: &str,
    ) -> (usize, usize, Vec<String>) {
        let made = rcgen::generate_simple_self_signed(vec!["default".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let key = crate::certificates::certified_key(&cert, &key).unwrap();
        let env = Env {
            plugins: Arc::new(Tokens),
            flavor: keelgate_entities::RouterFlavor::default(),
            default_certificate: Arc::new(key),
            trusted: Arc::new(rustls::RootCertStore::empty()),
            verify_upstreams: true,
            client_certificate: None,
            secrets,
        };
        let id = "6a0a9a50-6b1c-4b6a-9c1c-000000000001";
        let config = json!({
            "plugins": [{"id": id, "name": name, "config": {"token": token}}],
            "vaults": [{"id": id, "prefix": "own", "name": "env", "config": {}}],
        });
        let config = serde_json::from_value(config).unwrap();
        let runtime = Runtime::compile(config, "test".to_owned(), &env, None).unwrap();
        let links = runtime.unrouted().links();
        let refusing = links.iter().filter_map(|link| link.resolve(None));
        let refusing = refusing.filter(|plugin| plugin.phases().access).count();
        let flaws = runtime.flaws().iter().map(ToString::to_string).collect();
        (links.len(), refusing, flaws)
    }

    fn here() -> Option<Arc<dyn Secrets>> {
        Some(Arc::new(Kept))
    }

    #[test]
    fn a_secret_is_put_in_the_place_of_its_reference() {
        assert_eq!(
            compiled(here(), "auth", "{vault://env/good}"),
            (1, 0, vec![])
        );
    }

    #[test]
    fn a_reference_to_nothing_is_told_by_plugin_field_and_reference() {
        let (plugins, refusing, flaws) = compiled(here(), "auth", "{vault://env/x}");
        assert_eq!((plugins, refusing), (1, 1));
        let expected =
            "plugins auth: config.token: unable to resolve reference {vault://env/x} (not set)";
        assert!(flaws[0].starts_with(expected), "{flaws:?}");
    }

    #[test]
    fn a_secret_that_cannot_be_used_is_not_told() {
        let (plugins, refusing, flaws) = compiled(here(), "auth", "{vault://env/bad}");
        assert_eq!((plugins, refusing), (1, 1));
        let [flaw] = &flaws[..] else {
            panic!("{flaws:?}")
        };
        assert!(flaw.contains("'{vault://env/bad}' is no token"), "{flaw}");
        assert!(!flaw.contains("s3cret"), "{flaw}");
    }

    #[test]
    fn requests_pass_without_a_plugin_that_only_tells_others() {
        let (plugins, _, flaws) = compiled(here(), "log", "{vault://env/x}");
        assert_eq!((plugins, flaws.len()), (0, 2));
    }

    #[test]
    fn a_node_without_secrets_accepts_what_others_will_resolve() {
        for reference in ["{vault://env/good}", "{vault://env/!}"] {
            let (plugins, _, flaws) = compiled(None, "auth", reference);
            assert_eq!((plugins, flaws), (1, vec![]));
        }
    }
}
