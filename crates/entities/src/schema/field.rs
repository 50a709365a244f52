//! The description of one field.

use regex::Regex;
use serde_json::Value;

use super::check::{Check, CheckRule};

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

/// A pattern with the message that is told when it decides.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Compiled once, when the schema is built.
    pub regex: Regex,
    /// Message.
    pub message: &'static str,
}

/// A check of one text by code. The error is the message.
pub type TextCheck = fn(&str) -> Result<(), String>;

/// A check of one value by code. The error is the message.
pub type ValueCheck = fn(&Value) -> Result<(), String>;

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
    /// Value when absent.
    pub default: Option<Value>,
    /// Filled in by the gateway: ids, time stamps, secrets.
    pub auto: bool,
    /// No two entities have the same value; set by [`super::Schema::unique_key`].
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

/// Limits on a value; checked in the order of the members.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) eq: Option<Value>,
    pub(crate) ne: Option<Value>,
    pub(crate) not_one_of: Option<Vec<Value>>,
    pub(crate) one_of: Option<Vec<Value>>,
    pub(crate) gt: Option<f64>,
    pub(crate) timestamp: bool,
    pub(crate) uuid: bool,
    pub(crate) is_regex: bool,
    pub(crate) between: Option<(f64, f64)>,
    pub(crate) len_eq: Option<usize>,
    pub(crate) len_min: Option<usize>,
    pub(crate) len_max: Option<usize>,
    pub(crate) starts_with: Option<&'static str>,
    pub(crate) not_match: Option<Regex>,
    pub(crate) match_none: Vec<Pattern>,
    pub(crate) matches: Option<Regex>,
    pub(crate) match_all: Vec<Pattern>,
    pub(crate) match_any: Option<(Vec<Regex>, &'static str)>,
    pub(crate) contains: Option<Value>,
    pub(crate) custom: Option<TextCheck>,
    pub(crate) custom_value: Option<ValueCheck>,
    pub(crate) mutually_exclusive_subsets: Vec<&'static [&'static str]>,
}

impl Field {
    fn new(name: &'static str, kind: Type) -> Self {
        Self {
            name,
            kind,
            required: false,
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
        Self::new(name, Type::Array(Box::new(elements.required())))
    }

    /// A list without duplicates.
    pub fn set(name: &'static str, elements: Field) -> Self {
        Self::new(name, Type::Set(Box::new(elements.required())))
    }

    /// An object with free keys.
    pub fn map(name: &'static str, keys: Field, values: Field) -> Self {
        Self::new(
            name,
            Type::Map {
                keys: Box::new(keys.required()),
                values: Box::new(values.required()),
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
        self
    }

    /// Null is accepted (for records, which are required otherwise).
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.required = false;
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

    /// Must be this value; `Value::Null` means that it must not be set.
    #[must_use]
    pub fn eq(mut self, value: impl Into<Value>) -> Self {
        self.rules.eq = Some(value.into());
        self
    }

    /// Must not be this value.
    #[must_use]
    pub fn ne(mut self, value: impl Into<Value>) -> Self {
        self.rules.ne = Some(value.into());
        self
    }

    /// Must be one of these.
    #[must_use]
    pub fn one_of<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.rules.one_of = Some(values.into_iter().map(Into::into).collect());
        self
    }

    /// Must be none of these.
    #[must_use]
    pub fn not_one_of<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.rules.not_one_of = Some(values.into_iter().map(Into::into).collect());
        self
    }

    /// Must be greater.
    #[must_use]
    pub fn gt(mut self, limit: f64) -> Self {
        self.rules.gt = Some(limit);
        self
    }

    /// Must be a time stamp.
    #[must_use]
    pub fn timestamp(mut self) -> Self {
        self.rules.timestamp = true;
        self
    }

    /// Must be a UUID.
    #[must_use]
    pub fn uuid(mut self) -> Self {
        self.rules.uuid = true;
        self
    }

    /// Must be a regular expression.
    #[must_use]
    pub fn is_regex(mut self) -> Self {
        self.rules.is_regex = true;
        self
    }

    /// Must lie between the two, both included.
    #[must_use]
    pub fn between(mut self, least: f64, most: f64) -> Self {
        self.rules.between = Some((least, most));
        self
    }

    /// Must have this length: bytes of text, elements of a list or map.
    #[must_use]
    pub fn len_eq(mut self, length: usize) -> Self {
        self.rules.len_eq = Some(length);
        self
    }

    /// Must be at least this long.
    #[must_use]
    pub fn len_min(mut self, length: usize) -> Self {
        self.rules.len_min = Some(length);
        self
    }

    /// Must be at most this long.
    #[must_use]
    pub fn len_max(mut self, length: usize) -> Self {
        self.rules.len_max = Some(length);
        self
    }

    /// Must start with this.
    #[must_use]
    pub fn starts_with(mut self, prefix: &'static str) -> Self {
        self.rules.starts_with = Some(prefix);
        self
    }

    /// Must match. Patterns are regular expressions; they are written with the schema, so a wrong
    /// one is a defect of the program, found by any test that builds the schema.
    ///
    /// # Panics
    /// When the pattern does not compile.
    #[must_use]
    pub fn matches(mut self, pattern: &str) -> Self {
        self.rules.matches = Some(compiled(pattern));
        self
    }

    /// Must not match.
    ///
    /// # Panics
    /// When the pattern does not compile.
    #[must_use]
    pub fn not_match(mut self, pattern: &str) -> Self {
        self.rules.not_match = Some(compiled(pattern));
        self
    }

    /// Must not match this, or else the message is told. May be given several times.
    ///
    /// # Panics
    /// When the pattern does not compile.
    #[must_use]
    pub fn match_none(mut self, pattern: &str, message: &'static str) -> Self {
        self.rules.match_none.push(Pattern {
            regex: compiled(pattern),
            message,
        });
        self
    }

    /// Must match this, or else the message is told. May be given several times.
    ///
    /// # Panics
    /// When the pattern does not compile.
    #[must_use]
    pub fn match_all(mut self, pattern: &str, message: &'static str) -> Self {
        self.rules.match_all.push(Pattern {
            regex: compiled(pattern),
            message,
        });
        self
    }

    /// Must match one of these, or else the message is told.
    ///
    /// # Panics
    /// When a pattern does not compile.
    #[must_use]
    pub fn match_any(mut self, patterns: &[&str], message: &'static str) -> Self {
        let patterns = patterns.iter().map(|pattern| compiled(pattern)).collect();
        self.rules.match_any = Some((patterns, message));
        self
    }

    /// A list that must contain this.
    #[must_use]
    pub fn contains(mut self, value: impl Into<Value>) -> Self {
        self.rules.contains = Some(value.into());
        self
    }

    /// A check of text by code.
    #[must_use]
    pub fn custom(mut self, check: TextCheck) -> Self {
        self.rules.custom = Some(check);
        self
    }

    /// A check by code of a value of any type.
    #[must_use]
    pub fn custom_value(mut self, check: ValueCheck) -> Self {
        self.rules.custom_value = Some(check);
        self
    }

    /// A list whose elements must all come from one of these subsets.
    #[must_use]
    pub fn mutually_exclusive_subsets(mut self, subsets: &[&'static [&'static str]]) -> Self {
        self.rules.mutually_exclusive_subsets = subsets.to_vec();
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

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("patterns of schemas are literals that tests compile")
}
