//! The rules between fields.

use serde_json::Value;

use super::{Shape, Validator, entity_error, is_reference};
use crate::Object;
use crate::schema::check::{Branch, Check, Conditional, Rule};
use crate::schema::field::Type;
use crate::schema::lookup::{get, is_set, quoted, same, set};

/// When a rule is passed over.
#[derive(Clone, Copy)]
struct Needs {
    /// Fields that must be there, or else they are reported.
    present: bool,
    /// Fields must be valid by themselves.
    valid: bool,
    /// Runs on whole entities also when none of its fields is there.
    absent: bool,
}

impl<'s> Validator<'s> {
    /// Runs a rule and adds what it finds to the errors.
    pub(super) fn check(
        self,
        shape: Shape<'s>,
        check: &'s Check,
        input: &Object,
        full: bool,
        errors: &mut Object,
    ) {
        let strict = Needs {
            present: true,
            valid: false,
            absent: false,
        };
        let loose = Needs {
            present: false,
            valid: false,
            absent: true,
        };
        let mutual = Needs {
            present: false,
            valid: true,
            absent: true,
        };
        let found = match &check.rule {
            Rule::AtLeastOneOf(fields) => self
                .runs(shape, &[fields], loose, input, full, errors)
                .then(|| at_least_one_of(input, fields, self.updating)),
            Rule::OnlyOneOf(fields) => self
                .runs(shape, &[fields], strict, input, full, errors)
                .then(|| only_one_of(input, fields)),
            Rule::Distinct(fields) => self
                .runs(shape, &[fields], strict, input, full, errors)
                .then(|| distinct(input, fields)),
            Rule::MutuallyRequired(fields) => self
                .runs(shape, &[fields], mutual, input, full, errors)
                .then(|| mutually_required(input, fields)),
            Rule::MutuallyExclusive(fields) => self
                .runs(shape, &[fields], mutual, input, full, errors)
                .then(|| mutually_exclusive(input, fields)),
            Rule::MutuallyExclusiveSets(one, other) => self
                .runs(shape, &[one, other], mutual, input, full, errors)
                .then(|| mutually_exclusive_sets(input, one, other)),
            Rule::Conditional(rule) => self
                .runs(shape, &[&[rule.if_field]], strict, input, full, errors)
                .then(|| self.conditional(rule, input, errors)),
            Rule::ConditionalAtLeastOneOf(rule) => {
                let fields = rule.branches.iter().map(|branch| branch.then_fields);
                let mut all: Vec<&[&str]> = fields.collect();
                let head = [rule.if_field];
                all.push(&head);
                self.runs(shape, &all, loose, input, full, errors)
                    .then(|| self.branches(rule.if_field, &rule.branches, input))
            }
            Rule::Custom {
                fields,
                always,
                check,
            } => {
                let needs = Needs {
                    present: !always,
                    valid: true,
                    absent: false,
                };
                self.runs(shape, &[fields], needs, input, full, errors)
                    .then(|| check(input))
            }
        };
        if let Some(Err(message)) = found {
            let message = check.err.map_or(message, str::to_owned);
            entity_error(errors, message);
        }
    }

    /// Whether a rule over these fields runs; reports fields that it misses.
    fn runs(
        self,
        shape: Shape<'s>,
        fields: &[&[&str]],
        needs: Needs,
        input: &Object,
        full: bool,
        errors: &mut Object,
    ) -> bool {
        let mut none_present = true;
        let mut all_valid = true;
        let mut missing = Vec::new();
        for path in fields.iter().flat_map(|list| list.iter().copied()) {
            match get(input, path) {
                None => missing.push(path),
                Some(value) => {
                    none_present = false;
                    if is_reference(value)
                        && shape
                            .at(path)
                            .is_some_and(|f| matches!(f.kind, Type::String) && f.referenceable)
                    {
                        return false;
                    }
                }
            }
            all_valid &= !errors.contains_key(path);
        }
        if (needs.valid && !all_valid) || (none_present && !(needs.absent && full)) {
            return false;
        }
        if needs.present && !missing.is_empty() {
            let message = if self.updating {
                "field required for entity check when updating"
            } else {
                "field required for entity check"
            };
            for path in missing {
                set(errors, path, message.into());
            }
            return false;
        }
        true
    }

    fn conditional(
        self,
        rule: &'s Conditional,
        input: &Object,
        errors: &mut Object,
    ) -> Result<(), String> {
        let fits = get(input, rule.if_field)
            .is_some_and(|value| self.value(&rule.if_match, value).is_ok());
        if !fits {
            return Ok(());
        }
        let then = get(input, rule.then_field).unwrap_or(&Value::Null);
        match self.value(&rule.then_match, then) {
            Ok(()) => Ok(()),
            Err(error) => {
                set(errors, rule.then_field, error);
                Err(format!(
                    "failed conditional validation given value of field '{}'",
                    rule.if_field
                ))
            }
        }
    }

    fn branches(
        self,
        if_field: &str,
        branches: &'s [Branch],
        input: &Object,
    ) -> Result<(), String> {
        let Some(value) = get(input, if_field) else {
            return Ok(());
        };
        let chosen = branches
            .iter()
            .find(|branch| self.value(&branch.matches, value).is_ok());
        match chosen {
            Some(branch) if !any_set(input, branch.then_fields) => {
                Err(branch.err.replace("%s", &quoted(branch.then_fields)))
            }
            _ => Ok(()),
        }
    }
}

fn any_set(input: &Object, fields: &[&str]) -> bool {
    fields.iter().any(|field| is_set(get(input, field)))
}

fn count_set(input: &Object, fields: &[&str]) -> usize {
    fields
        .iter()
        .filter(|field| is_set(get(input, field)))
        .count()
}

fn at_least_one_of(input: &Object, fields: &[&str], updating: bool) -> Result<(), String> {
    if any_set(input, fields) {
        return Ok(());
    }
    let lead = if updating { "when updating, " } else { "" };
    Err(format!(
        "{lead}at least one of these fields must be non-empty: {}",
        quoted(fields)
    ))
}

fn only_one_of(input: &Object, fields: &[&str]) -> Result<(), String> {
    match count_set(input, fields) {
        1 => Ok(()),
        _ => Err(format!(
            "exactly one of these fields must be non-empty: {}",
            quoted(fields)
        )),
    }
}

fn distinct(input: &Object, fields: &[&str]) -> Result<(), String> {
    let values: Vec<&Value> = fields
        .iter()
        .filter_map(|field| get(input, field))
        .filter(|value| is_set(Some(value)))
        .collect();
    let twice = values
        .iter()
        .enumerate()
        .any(|(index, value)| values[..index].iter().any(|other| same(value, other)));
    if twice {
        return Err(format!(
            "values of these fields must be distinct: {}",
            quoted(fields)
        ));
    }
    Ok(())
}

/// All or none of the fields are set.
pub(crate) fn mutually_required(input: &Object, fields: &[&str]) -> Result<(), String> {
    let set = count_set(input, fields);
    if set == 0 || set == fields.len() {
        return Ok(());
    }
    Err(format!(
        "all or none of these fields must be set: {}",
        quoted(fields)
    ))
}

fn mutually_exclusive(input: &Object, fields: &[&str]) -> Result<(), String> {
    if count_set(input, fields) < 2 {
        return Ok(());
    }
    Err(format!(
        "only one or none of these fields must be set: {}",
        quoted(fields)
    ))
}

fn mutually_exclusive_sets(input: &Object, one: &[&str], other: &[&str]) -> Result<(), String> {
    let named = |fields: &[&str]| -> Option<String> {
        let set: Vec<&str> = fields
            .iter()
            .filter(|field| is_set(get(input, field)))
            .copied()
            .collect();
        (!set.is_empty()).then(|| quoted(&set))
    };
    match (named(one), named(other)) {
        (Some(one), Some(other)) => Err(format!(
            "these sets are mutually exclusive: ({one}), ({other})"
        )),
        _ => Ok(()),
    }
}
