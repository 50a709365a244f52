//! Path templates: `/v1/{name=shelves/*}:read`.

use regex::{Captures, Regex};

/// A path template, ready to be matched.
#[derive(Debug)]
pub(super) struct Template {
    pattern: Regex,
    /// The fields that its variables fill, in their order.
    fields: Vec<String>,
}

/// A template that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{template}' is not a path template: {problem}")]
pub(super) struct Malformed {
    template: String,
    problem: &'static str,
}

impl Template {
    pub(super) fn parse(template: &str) -> Result<Self, Malformed> {
        let malformed = |problem| Malformed {
            template: template.to_owned(),
            problem,
        };
        let mut pattern = String::from("^");
        let mut fields = Vec::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            let (literal, variable) = rest.split_at(at);
            add_segments(literal, &mut pattern);
            let (variable, after) = variable
                .strip_prefix('{')
                .and_then(|variable| variable.split_once('}'))
                .ok_or_else(|| malformed("a brace has no counterpart"))?;
            let (field, segments) = variable.split_once('=').unwrap_or((variable, "*"));
            if field.is_empty() || segments.is_empty() || segments.contains('{') {
                return Err(malformed(
                    "a variable has the form {field} or {field=segments}",
                ));
            }
            fields.push(field.to_owned());
            pattern.push('(');
            add_segments(segments, &mut pattern);
            pattern.push(')');
            rest = after;
        }
        add_segments(rest, &mut pattern);
        pattern.push('$');
        let pattern = Regex::new(&pattern).map_err(|_| malformed("it is too long"))?;
        Ok(Self { pattern, fields })
    }

    /// The fields that a path fills, with their text as it stands in the path; none when it does not match.
    pub(super) fn fields<'t>(
        &'t self,
        path: &'t str,
    ) -> Option<impl Iterator<Item = (&'t str, &'t str)>> {
        let found: Captures<'t> = self.pattern.captures(path)?;
        let texts =
            (1..=self.fields.len()).map(move |at| found.get(at).map_or("", |text| text.as_str()));
        Some(self.fields.iter().map(String::as_str).zip(texts))
    }
}

/// Adds what matches literal text, `*` (one segment) and `**` (any number).
fn add_segments(text: &str, pattern: &mut String) {
    let mut parts = text.split("**").peekable();
    while let Some(part) = parts.next() {
        let literals: Vec<_> = part.split('*').map(regex::escape).collect();
        pattern.push_str(&literals.join("[^/]+"));
        if parts.peek().is_some() {
            pattern.push_str(".+");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(template: &str, path: &str) -> Option<Vec<(String, String)>> {
        let template = Template::parse(template).unwrap();
        let fields = template.fields(path)?;
        Some(
            fields
                .map(|(field, text)| (field.to_owned(), text.to_owned()))
                .collect(),
        )
    }

    fn filled(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        let owned = |(field, text): &(&str, &str)| ((*field).to_owned(), (*text).to_owned());
        Some(pairs.iter().map(owned).collect())
    }

    #[test]
    fn variables_take_segments() {
        assert_eq!(fields("/v1/a", "/v1/a"), filled(&[]));
        assert_eq!(fields("/v1/a", "/v1/a/"), None);
        assert_eq!(fields("/v1/a.b", "/v1/aXb"), None);
        assert_eq!(fields("/v1/{id}", "/v1/7"), filled(&[("id", "7")]));
        assert_eq!(fields("/v1/{id}", "/v1/7/8"), None);
        assert_eq!(fields("/v1/{id}", "/v1/"), None);
        assert_eq!(
            fields("/v1/{a.b=x/*/y}/{c}:do", "/v1/x/1/y/2:do"),
            filled(&[("a.b", "x/1/y"), ("c", "2")])
        );
        assert_eq!(
            fields("/{name=files/**}", "/files/a/b/c"),
            filled(&[("name", "files/a/b/c")])
        );
        assert_eq!(fields("/*/x/**", "/a/x/b/c"), filled(&[]));
        assert_eq!(fields("/*/x", "/a/b/x"), None);
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for odd in [
            "/{", "/}", "/{}", "/{a", "/a}", "/{a={b}}", "/{a=}", "/{=*}",
        ] {
            Template::parse(odd).unwrap_err();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_template_is_too_odd(template: String, path: String) {
            if let Ok(template) = Template::parse(&template) {
                let _ = template.fields(&path).map(Iterator::count);
            }
        }
    }
}
