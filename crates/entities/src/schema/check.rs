//! Rules between the fields of an entity or record.

use super::field::Field;
use crate::Object;

/// Changes a copy of a field into what a condition compares with.
type Refine = fn(Field) -> Field;

/// A check by code over a whole entity or record. The error is the message.
pub type CustomRule = fn(&Object) -> Result<(), String>;

/// A rule between fields, as schemas write it. Fields are named by dotted paths.
#[derive(Clone, Debug)]
pub struct CheckRule {
    rule: Unresolved,
    err: Option<&'static str>,
}

#[derive(Clone, Debug)]
enum Unresolved {
    Ready(Rule),
    Conditional {
        if_field: &'static str,
        if_match: Refine,
        then_field: &'static str,
        then_match: Refine,
    },
    ConditionalAtLeastOneOf {
        if_field: &'static str,
        branches: Vec<(Refine, &'static [&'static str], &'static str)>,
    },
}

/// A rule between fields, with the descriptions of the fields that it speaks of.
#[derive(Clone, Debug)]
pub struct Check {
    pub(crate) rule: Rule,
    /// Told instead of the rule's own message.
    pub(crate) err: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(crate) enum Rule {
    AtLeastOneOf(&'static [&'static str]),
    OnlyOneOf(&'static [&'static str]),
    Distinct(&'static [&'static str]),
    MutuallyRequired(&'static [&'static str]),
    MutuallyExclusive(&'static [&'static str]),
    MutuallyExclusiveSets(&'static [&'static str], &'static [&'static str]),
    Conditional(Box<Conditional>),
    ConditionalAtLeastOneOf(Box<ConditionalAtLeastOneOf>),
    Custom {
        fields: &'static [&'static str],
        /// Runs although fields are missing or wrong.
        always: bool,
        check: CustomRule,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Conditional {
    pub(crate) if_field: &'static str,
    pub(crate) if_match: Field,
    /// What the condition demands, without what the field demands by itself.
    pub(crate) if_demand: Field,
    pub(crate) then_field: &'static str,
    pub(crate) then_match: Field,
    /// What follows, without what the field demands by itself.
    pub(crate) then_demand: Field,
}

#[derive(Clone, Debug)]
pub(crate) struct ConditionalAtLeastOneOf {
    pub(crate) if_field: &'static str,
    /// The first branch whose condition fits decides.
    pub(crate) branches: Vec<Branch>,
}

#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) matches: Field,
    pub(crate) then_fields: &'static [&'static str],
    pub(crate) err: &'static str,
}

impl CheckRule {
    fn ready(rule: Rule) -> Self {
        Self {
            rule: Unresolved::Ready(rule),
            err: None,
        }
    }

    /// One of the fields at least is set.
    pub fn at_least_one_of(fields: &'static [&'static str]) -> Self {
        Self::ready(Rule::AtLeastOneOf(fields))
    }

    /// Exactly one of the fields is set.
    pub fn only_one_of(fields: &'static [&'static str]) -> Self {
        Self::ready(Rule::OnlyOneOf(fields))
    }

    /// The fields have different values.
    pub fn distinct(fields: &'static [&'static str]) -> Self {
        Self::ready(Rule::Distinct(fields))
    }

    /// All or none of the fields are set.
    pub fn mutually_required(fields: &'static [&'static str]) -> Self {
        Self::ready(Rule::MutuallyRequired(fields))
    }

    /// At most one of the fields is set.
    pub fn mutually_exclusive(fields: &'static [&'static str]) -> Self {
        Self::ready(Rule::MutuallyExclusive(fields))
    }

    /// Fields of at most one of the sets are set.
    pub fn mutually_exclusive_sets(
        set1: &'static [&'static str],
        set2: &'static [&'static str],
    ) -> Self {
        Self::ready(Rule::MutuallyExclusiveSets(set1, set2))
    }

    /// Where one field fits, another must fit. Each condition refines the field's own description:
    /// `conditional("protocol", |f| f.one_of(["tcp"]), "path", |f| f.eq(Value::Null))`.
    pub fn conditional(
        if_field: &'static str,
        if_match: Refine,
        then_field: &'static str,
        then_match: Refine,
    ) -> Self {
        Self {
            rule: Unresolved::Conditional {
                if_field,
                if_match,
                then_field,
                then_match,
            },
            err: None,
        }
    }

    /// Where a field fits, one of others at least is set; `%s` in the message stands for their
    /// names.
    pub fn conditional_at_least_one_of(
        if_field: &'static str,
        if_match: Refine,
        then_fields: &'static [&'static str],
        message: &'static str,
    ) -> Self {
        Self {
            rule: Unresolved::ConditionalAtLeastOneOf {
                if_field,
                branches: vec![(if_match, then_fields, message)],
            },
            err: None,
        }
    }

    /// For `conditional_at_least_one_of`: a further condition, tried when those before do not fit.
    #[must_use]
    pub fn or_else(
        mut self,
        matches: Refine,
        then_fields: &'static [&'static str],
        message: &'static str,
    ) -> Self {
        if let Unresolved::ConditionalAtLeastOneOf { branches, .. } = &mut self.rule {
            branches.push((matches, then_fields, message));
        }
        self
    }

    /// A check by code over the whole entity or record. It runs when the named fields are there
    /// and none of them is wrong by itself.
    pub fn custom(fields: &'static [&'static str], check: CustomRule) -> Self {
        Self::ready(Rule::Custom {
            fields,
            always: false,
            check,
        })
    }

    /// Like [`CheckRule::custom`], but runs also when some of the fields are missing.
    pub fn custom_always(fields: &'static [&'static str], check: CustomRule) -> Self {
        Self::ready(Rule::Custom {
            fields,
            always: true,
            check,
        })
    }

    /// Told instead of the rule's own message.
    #[must_use]
    pub fn err(mut self, message: &'static str) -> Self {
        self.err = Some(message);
        self
    }

    /// Looks the named fields up. A name that does not exist is a defect of the schema, found by
    /// any test that builds it.
    pub(crate) fn resolve(self, fields: &[Field]) -> Check {
        let find = |path: &str| {
            Field::at(fields, path)
                .cloned()
                .unwrap_or_else(|| panic!("a rule of a schema names the unknown field '{path}'"))
        };
        let rule = match self.rule {
            Unresolved::Ready(rule) => rule,
            Unresolved::Conditional {
                if_field,
                if_match,
                then_field,
                then_match,
            } => Rule::Conditional(Box::new(Conditional {
                if_field,
                if_match: if_match(find(if_field)),
                if_demand: if_match(find(if_field).bare()),
                then_field,
                then_demand: then_match(find(then_field).bare()),
                then_match: then_match(find(then_field).optional()),
            })),
            Unresolved::ConditionalAtLeastOneOf { if_field, branches } => {
                let branches = branches
                    .into_iter()
                    .map(|(matches, then_fields, err)| Branch {
                        matches: matches(find(if_field)),
                        then_fields,
                        err,
                    })
                    .collect();
                Rule::ConditionalAtLeastOneOf(Box::new(ConditionalAtLeastOneOf {
                    if_field,
                    branches,
                }))
            }
        };
        Check {
            rule,
            err: self.err,
        }
    }
}
