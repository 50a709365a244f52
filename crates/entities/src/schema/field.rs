//! The description of one field.

mod rules;

use serde_json::Value;

use super::check::{Check, CheckRule};

pub(crate) use rules::{Pattern, Rules};
pub use rules::{TextCheck, ValueCheck};

/// The name of a field that has none: the element of a list, the key or value of a map.
pub const ITEM: &str = "";

/// What happens to an entity when the one that it refers to is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDelete {
    /// It is deleted, too.
    Cascade,
    /// The deletion is refused.
    #[default]
    Restrict,
}

/// The type of a field.
#[derive(Clone, Debug)]
pub enum Type {
    /// Text; not empty unless [`Field::len_min`] says so.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    Array(Box<Field>),
    /// A list without duplicates.
    Set(Box<Field>),
    /// An object with free keys.
    Map {
        /// What keys must be.
        keys: Box<Field>,
        /// What values must be.
        values: Box<Field>,
    },
    /// An object with known keys.
    Record(Box<Record>),
    /// A reference to another entity: `{"id": …}`.
    Foreign {
        /// Collection that is referred to.
        reference: &'static str,
        /// What happens when the other entity goes.
        on_delete: OnDelete,
    },
    /// Any JSON document.
    Json,
    /// Anything.
    Any,
}

/// The inside of a record: its fields, and what holds between them.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Fields in their order in the schema.
    pub fields: Vec<Field>,
    /// Rules between fields.
    pub checks: Vec<Check>,
    /// Other ways to write some of the fields.
    pub shorthands: Vec<Shorthand>,
}

/// Another way to write some fields (`url` of a service; old names of plugin settings).
#[derive(Clone, Debug)]
pub struct Shorthand {
    /// Name and type.
    pub field: Field,
    /// The fields that a value stands for.
    pub expand: fn(&Value) -> crate::Object,
    /// For an old name: where its value lives now. The new field wins when both are given, and
    /// both given with different values is an error.
    pub replaced_with: Option<&'static [&'static str]>,
}

/// The description of one field: its type, its limits, its default.
///
/// Built fluently: `Field::string("host").required().custom(typedefs::check_host)`.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name; [`ITEM`] for elements of lists and maps.
    pub name: &'static str,
    /// Type.
    pub kind: Type,
    /// Whether null is refused. Records are required unless said otherwise.
    pub required: bool,
    /// What the schema says about [`Field::required`] where it says anything: elements of lists and
    /// maps are required without a word.
    pub(crate) stated: Option<bool>,
    /// Value when absent.
    pub default: Option<Value>,
    /// Filled in by the gateway: ids, time stamps, secrets.
    pub auto: bool,
    /// No two entities have the same value; set by the unique keys of the schema.
    pub unique: bool,
    /// The value may be a reference to a secret, `{vault://…}`.
    pub referenceable: bool,
    /// The value is a secret at rest.
    pub encrypted: bool,
    /// Not stored with the entity (`snis` of a certificate).
    pub transient: bool,
    /// Says what it is for.
    pub description: Option<&'static str>,
    /// Told instead of the rules' own messages.
    pub err: Option<&'static str>,
    pub(crate) rules: Rules,
}

impl Field {
    fn new(name: &'static str, kind: Type) -> Self {
        Self {
            name,
            kind,
            required: false,
            stated: None,
            default: None,
            auto: false,
            unique: false,
            referenceable: false,
            encrypted: false,
            transient: false,
            description: None,
            err: None,
            rules: Rules::default(),
        }
    }

    /// Text.
    pub fn string(name: &'static str) -> Self {
        Self::new(name, Type::String)
    }

    /// A whole number.
    pub fn integer(name: &'static str) -> Self {
        Self::new(name, Type::Integer)
    }

    /// A number.
    pub fn number(name: &'static str) -> Self {
        Self::new(name, Type::Number)
    }

    /// True or false.
    pub fn boolean(name: &'static str) -> Self {
        Self::new(name, Type::Boolean)
    }

    /// A list.
    pub fn array(name: &'static str, elements: Field) -> Self {
        Self::new(name, Type::Array(Box::new(elements.present())))
    }

    /// A list without duplicates.
    pub fn set(name: &'static str, elements: Field) -> Self {
        Self::new(name, Type::Set(Box::new(elements.present())))
    }

    /// An object with free keys.
    pub fn map(name: &'static str, keys: Field, values: Field) -> Self {
        Self::new(
            name,
            Type::Map {
                keys: Box::new(keys.present()),
                values: Box::new(values.present()),
            },
        )
    }

    /// An object with known keys. Required, so that its defaults show; see [`Field::optional`].
    pub fn record(name: &'static str, fields: impl Into<Vec<Field>>) -> Self {
        let record = Record {
            fields: fields.into(),
            ..Record::default()
        };
        Self::new(name, Type::Record(Box::new(record))).required()
    }

    /// A reference to an entity of another collection.
    pub fn foreign(name: &'static str, reference: &'static str) -> Self {
        Self::new(
            name,
            Type::Foreign {
                reference,
                on_delete: OnDelete::Restrict,
            },
        )
    }

    /// Any JSON document.
    pub fn json(name: &'static str) -> Self {
        Self::new(name, Type::Json)
    }

    /// Anything.
    pub fn any(name: &'static str) -> Self {
        Self::new(name, Type::Any)
    }

    /// A field of the same type and without limits.
    pub(super) fn bare(self) -> Self {
        let bare = |element: Box<Self>| Self::new(ITEM, element.kind);
        match self.kind {
            Type::Array(element) => Self::array(self.name, bare(element)),
            Type::Set(element) => Self::set(self.name, bare(element)),
            kind => Self::new(self.name, kind),
        }
    }

    /// The same field under another name.
    #[must_use]
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Null is refused.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self.stated = Some(true);
        self
    }

    /// Null is accepted (for records, which are required otherwise), and the schema says so.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.required = false;
        self.stated = Some(false);
        self
    }

    /// The schema says nothing about whether null is refused.
    #[must_use]
    pub fn unstated(mut self) -> Self {
        self.stated = None;
        self
    }

    /// Null is refused, of which the schema says nothing.
    fn present(mut self) -> Self {
        self.required = true;
        self
    }

    /// The value when absent.
    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// Filled in by the gateway.
    #[must_use]
    pub fn auto(mut self) -> Self {
        self.auto = true;
        self
    }

    /// No two have the same value, as is said of it.
    #[must_use]
    pub fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// May be a reference to a secret.
    #[must_use]
    pub fn referenceable(mut self) -> Self {
        self.referenceable = true;
        self
    }

    /// A secret at rest.
    #[must_use]
    pub fn encrypted(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// Not stored with the entity.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.transient = true;
        self
    }

    /// Says what the field is for.
    #[must_use]
    pub fn description(mut self, text: &'static str) -> Self {
        self.description = Some(text);
        self
    }

    /// Told instead of the rules' own messages.
    #[must_use]
    pub fn err(mut self, message: &'static str) -> Self {
        self.err = Some(message);
        self
    }

    /// For references: goes when the other entity goes.
    #[must_use]
    pub fn cascade(mut self) -> Self {
        if let Type::Foreign { on_delete, .. } = &mut self.kind {
            *on_delete = OnDelete::Cascade;
        }
        self
    }

    /// Changes the element of a list.
    #[must_use]
    pub fn elements(mut self, change: fn(Field) -> Field) -> Self {
        if let Type::Array(element) | Type::Set(element) = &mut self.kind {
            **element = change((**element).clone());
        }
        self
    }

    /// A rule between the fields of a record. The fields must be there already.
    #[must_use]
    pub fn check(mut self, rule: CheckRule) -> Self {
        if let Type::Record(record) = &mut self.kind {
            let check = rule.resolve(&record.fields);
            record.checks.push(check);
        }
        self
    }

    /// Another way to write fields of a record.
    #[must_use]
    pub fn shorthand(mut self, shorthand: Shorthand) -> Self {
        if let Type::Record(record) = &mut self.kind {
            record.shorthands.push(shorthand);
        }
        self
    }

    /// The field at a dotted path below this one's siblings.
    pub(crate) fn at<'f>(fields: &'f [Field], path: &str) -> Option<&'f Field> {
        let (head, rest) = match path.split_once('.') {
            Some((head, rest)) => (head, Some(rest)),
            None => (path, None),
        };
        let field = fields.iter().find(|field| field.name == head)?;
        match (rest, &field.kind) {
            (None, _) => Some(field),
            (Some(rest), Type::Record(record)) => Self::at(&record.fields, rest),
            (Some(_), _) => None,
        }
    }
}

impl Shorthand {
    /// Another way to write fields.
    pub fn new(field: Field, expand: fn(&Value) -> crate::Object) -> Self {
        Self {
            field,
            expand,
            replaced_with: None,
        }
    }

    /// An old name; its value lives at this path now.
    #[must_use]
    pub fn replaced_with(mut self, path: &'static [&'static str]) -> Self {
        self.replaced_with = Some(path);
        self
    }
}
