//! Conditions on request headers.

use std::borrow::Cow;
use std::sync::Arc;

use keelgate_entities::RouterFlavor;
use smallvec::{SmallVec, smallvec};

use crate::facts::Headers;
use crate::pattern::{Pattern, PatternError, Patterns};

/// One header that must have one of some values.
#[derive(Debug)]
pub(crate) struct HeaderRule {
    /// In lower case. Asked in this order: the first spelling that the request has counts.
    names: SmallVec<[Box<str>; 2]>,
    values: Box<[ValueRule]>,
    /// Whether letters beyond ASCII are lowered, too.
    beyond_ascii: bool,
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
        flavor: RouterFlavor,
        patterns: &mut Patterns,
    ) -> Result<Self, PatternError> {
        let traditional = flavor == RouterFlavor::Traditional;
        let own = name.to_ascii_lowercase();
        let dashed = own.replace('_', "-");
        // The spelling with underscores shadows the one with dashes. Kong's first router knows only
        // the underscores that are in the route.
        let first = if traditional {
            own
        } else {
            dashed.replace('-', "_")
        };
        let mut names: SmallVec<[Box<str>; 2]> = smallvec![first.into()];
        if dashed != *names[0] {
            names.push(dashed.into());
        }
        let values = if traditional {
            first_router_values(values, patterns)?
        } else {
            values
                .iter()
                .map(|value| {
                    // The whole text is lowered, also a class such as `\D`: that is what Kong asks.
                    let lowered = value.to_ascii_lowercase();
                    match lowered.strip_prefix("~*") {
                        Some(source) => patterns.get(source).map(ValueRule::Regex),
                        None => Ok(ValueRule::Equal(lowered.into())),
                    }
                })
                .collect::<Result<_, _>>()?
        };
        Ok(Self {
            names,
            values,
            beyond_ascii: !traditional,
        })
    }

    pub(crate) fn accepts(&self, headers: &dyn Headers) -> bool {
        for name in &self.names {
            let mut present = false;
            let accepted = headers.any(name, &mut |value| {
                present = true;
                self.accepts_value(value)
            });
            if present {
                return accepted;
            }
        }
        false
    }

    /// The names that the rule looks at, if it must understand their values.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.names.iter().filter(|_| self.beyond_ascii);
        names.map(|name| &**name)
    }

    fn accepts_value(&self, value: &[u8]) -> bool {
        let Ok(value) = std::str::from_utf8(value) else {
            return false;
        };
        if value.is_ascii() || !self.beyond_ascii {
            self.values.iter().any(|rule| match rule {
                ValueRule::Equal(own) => value.eq_ignore_ascii_case(own),
                ValueRule::Regex(own) => own.is_match(&lower(value)),
            })
        } else {
            let value = value.to_lowercase();
            self.values.iter().any(|rule| match rule {
                ValueRule::Equal(own) => **own == *value,
                ValueRule::Regex(own) => own.is_match(&value),
            })
        }
    }
}

/// What Kong's first router makes of values: a regular expression must stand alone, is taken as it
/// is written, and counts as a plain value as well.
fn first_router_values(
    values: &[String],
    patterns: &mut Patterns,
) -> Result<Box<[ValueRule]>, PatternError> {
    let plain = values
        .iter()
        .map(|value| Ok(ValueRule::Equal(value.to_ascii_lowercase().into())));
    let source = match values {
        [only] => only.strip_prefix("~*"),
        _ => None,
    };
    let regex = source.map(|source| patterns.get(source).map(ValueRule::Regex));
    plain.chain(regex).collect()
}

/// `value` with its ASCII letters in lower case, copied only when it is not.
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
    use keelgate_entities::RouterFlavor;

    fn accepts(values: &[&str], headers: &[(&str, &str)]) -> bool {
        in_flavor(RouterFlavor::TraditionalCompatible, values, headers)
    }

    fn in_first(values: &[&str], headers: &[(&str, &str)]) -> bool {
        in_flavor(RouterFlavor::Traditional, values, headers)
    }

    fn in_flavor(flavor: RouterFlavor, values: &[&str], headers: &[(&str, &str)]) -> bool {
        let values: Vec<String> = values.iter().map(|v| v.to_string()).collect();
        HeaderRule::compile("X-Tier", &values, flavor, &mut Patterns::default())
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

    #[test]
    fn the_first_router_takes_a_regular_expression_as_it_is_written_and_alone() {
        assert!(in_first(&["~*^[0-9]+$"], &[("x-tier", "17")]));
        assert!(in_first(&["~*^\\D+$"], &[("x-tier", "abc")]));
        assert!(!in_first(&["~*^Gold"], &[("x-tier", "Gold")]));
        assert!(!in_first(&["~*^gold", "tin"], &[("x-tier", "gold")]));
        assert!(in_first(&["Gold", "tin"], &[("x-tier", "gOLD")]));
    }

    #[test]
    fn the_first_router_tells_underscores_from_dashes() {
        assert!(!in_first(&["gold"], &[("x_tier", "gold")]));
        assert!(in_first(
            &["gold"],
            &[("x_tier", "tin"), ("x-tier", "gold")]
        ));
        assert!(in_first(&["É"], &[("x-tier", "É")]));
    }
}
