//! The description of one kind of entity.

use super::check::{Check, CheckRule};
use super::field::{Field, OnDelete, Shorthand, Type};
use crate::Object;

/// The description of one kind of entity.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Collection, for example `services`.
    pub name: &'static str,
    /// The field that names an entity in paths besides its id.
    pub endpoint_key: Option<&'static str>,
    /// Fields in their order.
    pub fields: Vec<Field>,
    /// What paths of the Admin API call the collection where it is not [`Schema::name`]:
    /// `key-auths`.
    pub admin_name: Option<&'static str>,
    /// The same below an owner: `key-auth` in `/consumers/C/key-auth`.
    pub admin_nested_name: Option<&'static str>,
    /// Whether entities may expire: a `ttl` in seconds is accepted.
    pub ttl: bool,
    /// Whether entities are short-lived records that gateways make while they serve, such as tokens
    /// and sessions: kept beside the configuration, and no part of it.
    pub record: bool,
    pub(crate) checks: Vec<Check>,
    pub(crate) shorthands: Vec<Shorthand>,
    pub(crate) cache_key: &'static [&'static str],
    pub(crate) variants: Variants,
    pub(crate) transformation: Option<Transformation>,
    pub(crate) prepare: Option<Prepare>,
    unique_keys: Vec<UniqueKey>,
}

/// A field that is derived from others when an entity is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transformation {
    /// Fields that it starts from; it happens when the client gives all of them.
    pub(crate) input: &'static [&'static str],
    /// Fields that it needs besides.
    pub(crate) needs: &'static [&'static str],
    /// Changes the entity, which is valid.
    pub(crate) write: fn(&mut Object),
}

/// Changes what a client wrote before anything else; the error is the message of a field.
pub(crate) type Prepare = fn(&mut Object) -> Result<(), (&'static str, String)>;

/// A set of fields whose values no two entities share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniqueKey {
    /// Name of the key, unique within the kind.
    pub name: &'static str,
    /// Its fields. A key of one field does not apply to entities where it is null; a key of
    /// several does (`plugins`: the same name and scope).
    pub fields: &'static [&'static str],
}

/// A field that refers to another entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignKey<'s> {
    /// The field.
    pub field: &'s str,
    /// The collection that it refers to.
    pub kind: &'static str,
    /// What happens when the other entity is deleted.
    pub on_delete: OnDelete,
}

/// How the fields of an entity depend on one of its values.
#[derive(Clone, Debug, Default)]
pub(crate) enum Variants {
    /// They do not.
    #[default]
    None,
    /// On a set of words: the first word with a variant decides.
    Words {
        key: &'static str,
        list: Vec<Variant>,
    },
    /// On the plugin that is named.
    Plugins,
    /// On the vault that is named.
    Vaults(Vec<Variant>),
}

impl Variants {
    /// Whether each variant is a thing of its own, which must be known to be of use.
    pub(crate) fn is_named(&self) -> bool {
        matches!(self, Self::Plugins | Self::Vaults(_))
    }

    /// The field that chooses the variant.
    pub(crate) fn key(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Words { key, .. } => Some(key),
            Self::Plugins | Self::Vaults(_) => Some("name"),
        }
    }
}

/// What one variant changes.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    /// Words that choose it.
    pub(crate) words: &'static [&'static str],
    /// Descriptions that replace those of the same name.
    pub(crate) fields: Vec<Field>,
    /// Further rules.
    pub(crate) checks: Vec<Check>,
}

impl Schema {
    /// A kind of entity with these fields.
    pub(crate) fn new(name: &'static str, fields: impl Into<Vec<Field>>) -> Self {
        Self {
            name,
            endpoint_key: None,
            fields: fields.into(),
            admin_name: None,
            admin_nested_name: None,
            ttl: false,
            record: false,
            checks: Vec::new(),
            shorthands: Vec::new(),
            cache_key: &[],
            variants: Variants::None,
            transformation: None,
            prepare: None,
            unique_keys: Vec::new(),
        }
    }

    /// The field that names an entity in paths besides its id.
    #[must_use]
    pub(crate) fn endpoint_key(mut self, field: &'static str) -> Self {
        self.endpoint_key = Some(field);
        self
    }

    /// What the Admin API's paths call the collection, and below an owner.
    #[must_use]
    pub(crate) fn admin_names(mut self, name: &'static str, nested: &'static str) -> Self {
        self.admin_name = Some(name);
        self.admin_nested_name = Some(nested);
        self
    }

    /// Entities may expire.
    #[must_use]
    pub(crate) fn ttl(mut self) -> Self {
        self.ttl = true;
        self
    }

    /// Entities are short-lived records, and no part of a configuration. They may expire.
    #[must_use]
    pub(crate) fn record(mut self) -> Self {
        self.record = true;
        self.ttl()
    }

    /// The fields that tell entities apart where no id is given: ids of declarative entities are
    /// derived from them. Several fields together are also unique.
    #[must_use]
    pub(crate) fn cache_key(mut self, fields: &'static [&'static str]) -> Self {
        self.cache_key = fields;
        if fields.len() > 1 {
            self = self.unique_key("cache_key", fields);
        }
        self
    }

    /// A rule between fields. The fields must be there already.
    #[must_use]
    pub(crate) fn check(mut self, rule: CheckRule) -> Self {
        self.checks.push(rule.resolve(&self.fields));
        self
    }

    /// Another way to write fields.
    #[must_use]
    pub(crate) fn shorthand(mut self, shorthand: Shorthand) -> Self {
        self.shorthands.push(shorthand);
        self
    }

    /// Derives a field when an entity is written.
    #[must_use]
    pub(crate) fn transformation(mut self, transformation: Transformation) -> Self {
        self.transformation = Some(transformation);
        self
    }

    /// Brings input into its one form before anything else.
    pub(crate) fn prepare(mut self, prepare: Prepare) -> Self {
        self.prepare = Some(prepare);
        self
    }

    pub(crate) fn variants(mut self, variants: Variants) -> Self {
        self.variants = variants;
        self
    }

    /// No two entities share the values of these fields.
    #[must_use]
    pub(crate) fn unique_key(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
    ) -> Self {
        if let [field] = fields {
            for described in self.fields.iter_mut().filter(|f| f.name == *field) {
                described.unique = true;
            }
        }
        self.unique_keys.push(UniqueKey { name, fields });
        self
    }

    /// A field by its name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The sets of fields whose values no two entities share, besides the id.
    pub fn unique_keys(&self) -> &[UniqueKey] {
        &self.unique_keys
    }

    /// The fields that refer to other entities.
    pub fn foreign_keys(&self) -> impl Iterator<Item = ForeignKey<'_>> {
        self.fields.iter().filter_map(|field| match field.kind {
            Type::Foreign {
                reference,
                on_delete,
            } => Some(ForeignKey {
                field: field.name,
                kind: reference,
                on_delete,
            }),
            _ => None,
        })
    }
}
