//! The description of one plugin's settings.

use super::check::{Check, CheckRule};
use super::definition::Variant;
use super::field::{Field, Record, Shorthand, ValueCheck};

/// The description of one plugin: its settings and the scopes that it may have.
///
/// ```
/// use keelgate_entities::schema::{Field, PluginSchema};
///
/// let schema = PluginSchema::new("request-size-limiting", 951, "3.9.1")
///     .field(Field::integer("allowed_payload_size").default(128))
///     .http_only()
///     .no_consumer();
/// assert_eq!(schema.name, "request-size-limiting");
/// ```
#[derive(Clone, Debug)]
pub struct PluginSchema {
    /// Name, for example `key-auth`.
    pub name: &'static str,
    /// Plugins with a higher priority run first within a phase.
    pub priority: i32,
    /// Version that is reported to control planes and in `GET /`.
    pub version: &'static str,
    /// Fields of `config`.
    pub fields: Vec<Field>,
    config_checks: Vec<Check>,
    config_shorthands: Vec<Shorthand>,
    config_check: Option<ValueCheck>,
    checks: Vec<CheckRule>,
    overrides: Vec<Field>,
}

/// Protocols of HTTP plugins.
const HTTP_PROTOCOLS: [&str; 4] = ["grpc", "grpcs", "http", "https"];

impl PluginSchema {
    /// A plugin without settings.
    pub fn new(name: &'static str, priority: i32, version: &'static str) -> Self {
        Self {
            name,
            priority,
            version,
            fields: Vec::new(),
            config_checks: Vec::new(),
            config_shorthands: Vec::new(),
            config_check: None,
            checks: Vec::new(),
            overrides: Vec::new(),
        }
    }

    /// Adds a setting.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Adds settings.
    #[must_use]
    pub fn fields(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.fields.extend(fields);
        self
    }

    /// A rule between settings, which it names without `config.`; its message stands in
    /// `config.@entity`. The settings must be there already.
    #[must_use]
    pub fn config_check(mut self, rule: CheckRule) -> Self {
        self.config_checks.push(rule.resolve(&self.fields));
        self
    }

    /// A rule of the whole entity, which names settings as `config.…`; its message stands in
    /// `@entity`.
    #[must_use]
    pub fn check(mut self, rule: CheckRule) -> Self {
        self.checks.push(rule);
        self
    }

    /// A check by code of the whole `config`; its message stands in `config`.
    #[must_use]
    pub fn custom(mut self, check: ValueCheck) -> Self {
        self.config_check = Some(check);
        self
    }

    /// Another way to write settings.
    #[must_use]
    pub fn shorthand(mut self, shorthand: Shorthand) -> Self {
        self.config_shorthands.push(shorthand);
        self
    }

    /// The plugin runs for HTTP and gRPC only.
    #[must_use]
    pub fn http_only(self) -> Self {
        self.protocols(&HTTP_PROTOCOLS)
    }

    /// The protocols that the plugin may run for, which are also the default.
    #[must_use]
    pub fn protocols(self, protocols: &'static [&'static str]) -> Self {
        let default: Vec<&str> = protocols.to_vec();
        self.over(
            Field::set(
                "protocols",
                Field::string(super::ITEM).one_of(protocols.iter().copied()),
            )
            .required()
            .default(default),
        )
    }

    /// The protocols that the plugin runs for by default, of all that there are.
    #[must_use]
    pub fn default_protocols(self, default: &'static [&'static str]) -> Self {
        let default: Vec<&str> = default.to_vec();
        self.over(super::typedefs::protocols("protocols").default(default))
    }

    /// The plugin cannot be bound to a consumer.
    #[must_use]
    pub fn no_consumer(self) -> Self {
        self.over(Field::foreign("consumer", "consumers").eq(serde_json::Value::Null))
    }

    /// The plugin cannot be bound to a route.
    #[must_use]
    pub fn no_route(self) -> Self {
        self.over(Field::foreign("route", "routes").eq(serde_json::Value::Null))
    }

    /// The plugin cannot be bound to a service.
    #[must_use]
    pub fn no_service(self) -> Self {
        self.over(Field::foreign("service", "services").eq(serde_json::Value::Null))
    }

    fn over(mut self, field: Field) -> Self {
        self.overrides.push(field);
        self
    }

    /// The rules between settings.
    pub(super) fn config_checks(&self) -> &[Check] {
        &self.config_checks
    }

    /// What this plugin changes in the schema of `plugins`.
    pub(crate) fn variant(&self) -> Variant {
        let mut config = Field::record("config", self.fields.clone());
        if let super::Type::Record(record) = &mut config.kind {
            **record = Record {
                fields: std::mem::take(&mut record.fields),
                checks: self.config_checks.clone(),
                shorthands: self.config_shorthands.clone(),
            };
        }
        config.rules.custom_value = self.config_check;
        let mut fields = self.overrides.clone();
        fields.push(config);
        let checks = self
            .checks
            .iter()
            .map(|rule| rule.clone().resolve(&fields))
            .collect();
        Variant {
            words: &[],
            fields,
            checks,
        }
    }
}
