//! Conditions on request headers.

use std::borrow::Cow;
use std::sync::Arc;

use crate::facts::Headers;
use crate::pattern::{Pattern, Patterns};

/// One header that must have one of some values.
#[derive(Debug)]
pub(crate) struct HeaderRule {
    /// In lower case, with dashes.
    name: Box<str>,
    /// The same with underscores, when that differs: a request may spell it so.
    underscored: Option<Box<str>>,
    values: Box<[ValueRule]>,
}

#[derive(Debug)]
enum ValueRule {
    /// In lower case.
    Equal(Box<str>),
    /// For a value in lower case.
    Regex(Arc<Pattern>),
}

impl HeaderRule {
    pub(crate) fn compile(
        name: &str,
        values: &[String],
        patterns: &mut Patterns,
    ) -> Result<Self, regex::Error> {
        let name = name.to_ascii_lowercase().replace('_', "-");
        let underscored = name.contains('-').then(|| name.replace('-', "_").into());
        let values = values
            .iter()
            .map(|value| {
                // The whole text is lowered, also a class such as `\D`: that is what Kong asks for.
                let lowered = value.to_ascii_lowercase();
                match lowered.strip_prefix("~*") {
                    Some(source) => patterns.get(source).map(ValueRule::Regex),
                    None => Ok(ValueRule::Equal(lowered.into())),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.into(),
            underscored,
            values,
        })
    }

    /// The spelling with underscores shadows the one with dashes, if the request has both.
    pub(crate) fn accepts(&self, headers: &dyn Headers) -> bool {
        if let Some(name) = &self.underscored {
            let mut present = false;
            let accepted = headers.any(name, &mut |value| {
                present = true;
                self.accepts_value(value)
            });
            if present {
                return accepted;
            }
        }
        headers.any(&self.name, &mut |value| self.accepts_value(value))
    }

    /// The names that the rule looks at.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        [Some(&self.name), self.underscored.as_ref()]
            .into_iter()
            .flatten()
            .map(|name| &**name)
    }

    fn accepts_value(&self, value: &[u8]) -> bool {
        let Ok(value) = std::str::from_utf8(value) else {
            return false;
        };
        if value.is_ascii() {
            self.values.iter().any(|rule| match rule {
                ValueRule::Equal(own) => value.eq_ignore_ascii_case(own),
                ValueRule::Regex(own) => own
                    .regex()
                    .is_some_and(|regex| regex.is_match(&lower(value))),
            })
        } else {
            let value = value.to_lowercase();
            self.values.iter().any(|rule| match rule {
                ValueRule::Equal(own) => **own == *value,
                ValueRule::Regex(own) => own.regex().is_some_and(|regex| regex.is_match(&value)),
            })
        }
    }
}

/// `value` (ASCII) in lower case, copied only when it is not.
fn lower(value: &str) -> Cow<'_, str> {
    if value.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(value.to_ascii_lowercase())
    } else {
        Cow::Borrowed(value)
    }
}

#[cfg(test)]
mod tests {
    use super::HeaderRule;
    use crate::pattern::Patterns;
    use crate::tests::Fields;

    fn accepts(values: &[&str], headers: &[(&str, &str)]) -> bool {
        let values: Vec<String> = values.iter().map(|v| v.to_string()).collect();
        HeaderRule::compile("X-Tier", &values, &mut Patterns::default())
            .unwrap()
            .accepts(&Fields(headers))
    }

    #[test]
    fn any_value_may_match_without_regard_to_case() {
        assert!(accepts(&["Gold", "Silver"], &[("x-tier", "gOLD")]));
        assert!(accepts(&["gold"], &[("x-tier", "tin"), ("x-tier", "gold")]));
        assert!(!accepts(&["gold"], &[("x-tier", "golden")]));
        assert!(!accepts(&["gold"], &[]));
    }

    #[test]
    fn regular_expressions_see_the_lowered_value() {
        assert!(accepts(&["~*^G[aeiou]ld"], &[("x-tier", "GOLDEN")]));
        assert!(!accepts(&["~*^o"], &[("x-tier", "gold")]));
    }

    #[test]
    fn a_class_in_upper_case_is_lowered_with_the_expression() {
        assert!(accepts(&["~*^\\D+$"], &[("x-tier", "123")]));
        assert!(!accepts(&["~*^\\D+$"], &[("x-tier", "abc")]));
    }

    #[test]
    fn underscores_stand_for_dashes_and_shadow_them() {
        assert!(accepts(&["gold"], &[("x_tier", "gold")]));
        assert!(!accepts(
            &["gold"],
            &[("x_tier", "tin"), ("x-tier", "gold")]
        ));
    }

    #[test]
    fn letters_beyond_ascii_are_lowered_in_the_request_only() {
        assert!(accepts(&["é"], &[("x-tier", "É")]));
        assert!(!accepts(&["É"], &[("x-tier", "É")]));
    }
}
