//! The rules of single values.

use serde_json::Value;

use crate::lua;
use crate::schema::field::{Field, Rules, Type};
use crate::schema::lookup::{is_uuid, quoted, same};

/// What null is told.
pub(super) fn null(field: &Field) -> Result<(), String> {
    if field.rules.ne == Some(Value::Null) {
        return Err(field.err.unwrap_or("value must not be null").to_owned());
    }
    if let Some(wanted) = &field.rules.eq
        && !wanted.is_null()
    {
        return Err(format!("value must be {}", lua::text(wanted)));
    }
    if field.required {
        return Err("required field missing".to_owned());
    }
    Ok(())
}

/// Whether a number is whole and finite, in whatever notation.
pub(super) fn is_integer(value: &Value) -> bool {
    value.is_i64()
        || value.is_u64()
        || value
            .as_f64()
            .is_some_and(|number| number.is_finite() && number.fract() == 0.0)
}

/// Validates a key of a map.
pub(super) fn key(field: &Field, key: &str) -> Result<(), String> {
    if let Type::String = field.kind {
        // Keys are few and short; wrapping one costs less than a second set of rules.
        rules(field, &Value::String(key.to_owned())).map_err(|message| match field.err {
            Some(err) => err.to_owned(),
            None => message,
        })
    } else {
        Ok(())
    }
}

/// Checks the limits of a value whose type is right.
pub(super) fn rules(field: &Field, value: &Value) -> Result<(), String> {
    let rules = &field.rules;
    equality(rules, value)?;
    if let Some(number) = value.as_f64() {
        numbers(rules, number)?;
    }
    if rules.uuid && !value.as_str().is_some_and(is_uuid) {
        return Err("expected a valid UUID".to_owned());
    }
    length(field, value)?;
    if let Some(text) = value.as_str() {
        patterns(rules, text)?;
    }
    if let (Some(wanted), Value::Array(items)) = (&rules.contains, value)
        && !items.iter().any(|item| same(item, wanted))
    {
        return Err(format!("expected to contain: {}", lua::text(wanted)));
    }
    if let (Some(check), Some(text)) = (rules.custom, value.as_str()) {
        check(text)?;
    }
    if let Some(check) = rules.custom_value {
        check(value)?;
    }
    if let Value::Array(items) = value {
        subsets(rules, items)?;
    }
    Ok(())
}

fn equality(rules: &Rules, value: &Value) -> Result<(), String> {
    if let Some(wanted) = &rules.eq
        && !same(value, wanted)
    {
        return Err(format!("value must be {}", lua::text(wanted)));
    }
    if let Some(unwanted) = &rules.ne
        && same(value, unwanted)
    {
        return Err(format!("value must not be {}", lua::text(value)));
    }
    if let Some(options) = &rules.not_one_of
        && options.iter().any(|option| same(value, option))
    {
        return Err(format!("must not be one of: {}", joined(options)));
    }
    if let Some(options) = &rules.one_of
        && !options.iter().any(|option| same(value, option))
    {
        return Err(format!("expected one of: {}", joined(options)));
    }
    Ok(())
}

fn joined(options: &[Value]) -> String {
    let texts: Vec<String> = options.iter().map(lua::text).collect();
    texts.join(", ")
}

fn numbers(rules: &Rules, number: f64) -> Result<(), String> {
    if let Some(limit) = rules.gt
        && number <= limit
    {
        return Err(format!("value must be greater than {limit}"));
    }
    if rules.timestamp && number <= 0.0 {
        return Err("expected a valid timestamp".to_owned());
    }
    if let Some((least, most)) = rules.between
        && !(least..=most).contains(&number)
    {
        return Err(format!(
            "value should be between {} and {}",
            least.trunc(),
            most.trunc()
        ));
    }
    Ok(())
}

fn length(field: &Field, value: &Value) -> Result<(), String> {
    let length = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        _ => return Ok(()),
    };
    let rules = &field.rules;
    // Text is not empty unless its description says how short it may be.
    let least = match field.kind {
        Type::String => rules.len_min.or(Some(1)),
        _ => rules.len_min,
    };
    match (rules.len_eq, least, rules.len_max) {
        (Some(wanted), ..) if length != wanted => Err(format!("length must be {wanted}")),
        (_, Some(least), _) if length < least => Err(format!("length must be at least {least}")),
        (.., Some(most)) if length > most => Err(format!("length must be at most {most}")),
        _ => Ok(()),
    }
}

fn patterns(rules: &Rules, text: &str) -> Result<(), String> {
    let invalid = || Err(format!("invalid value: {text}"));
    if rules.is_regex && regex::Regex::new(text).is_err() {
        return Err(format!("not a valid regex: {text}"));
    }
    if let Some(prefix) = rules.starts_with
        && !text.starts_with(prefix)
    {
        return Err(format!("should start with: {prefix}"));
    }
    if rules
        .not_match
        .as_ref()
        .is_some_and(|regex| regex.is_match(text))
    {
        return invalid();
    }
    if let Some(pattern) = rules.match_none.iter().find(|p| p.regex.is_match(text)) {
        return Err(pattern.message.to_owned());
    }
    if rules
        .matches
        .as_ref()
        .is_some_and(|regex| !regex.is_match(text))
    {
        return invalid();
    }
    if let Some(pattern) = rules.match_all.iter().find(|p| !p.regex.is_match(text)) {
        return Err(pattern.message.to_owned());
    }
    if let Some((patterns, message)) = &rules.match_any
        && !patterns.iter().any(|regex| regex.is_match(text))
    {
        return Err((*message).to_owned());
    }
    Ok(())
}

fn subsets(rules: &Rules, items: &[Value]) -> Result<(), String> {
    let mut members: Vec<&&[&str]> = Vec::new();
    for item in items.iter().filter_map(Value::as_str) {
        let home = rules
            .mutually_exclusive_subsets
            .iter()
            .rfind(|subset| subset.contains(&item));
        if let Some(subset) = home
            && !members.contains(&subset)
        {
            members.push(subset);
        }
    }
    if members.len() < 2 {
        return Ok(());
    }
    let sets: Vec<String> = members
        .iter()
        .map(|set| format!("({})", quoted(set)))
        .collect();
    Err(format!(
        "these sets are mutually exclusive: {}",
        sets.join(", ")
    ))
}
