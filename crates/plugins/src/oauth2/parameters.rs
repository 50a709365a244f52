//! What an application sends, in the query or in the body.

use http::Method;
use serde_json::Value;

use crate::arguments::Arguments;
use crate::body::{self, Form};
use crate::{Exchange, arguments};

/// Every parameter that counts.
const NAMES: [&str; 15] = [
    "access_token",
    "authenticated_userid",
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "provision_key",
    "redirect_uri",
    "refresh_token",
    "response_type",
    "scope",
    "state",
];

/// Parameters by name; those of the body go before those of the query.
#[derive(Debug, Default)]
pub(super) struct Parameters(Vec<(&'static str, Value)>);

/// Whether the body of a request has parameters.
pub(super) fn in_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

impl Parameters {
    pub(super) fn of(exchange: &Exchange<'_>) -> Self {
        let query = exchange.query.as_deref().unwrap_or_default();
        let form = in_body(&exchange.method)
            .then(|| body::form(exchange))
            .flatten();
        let found = NAMES.iter().filter_map(|name| {
            let in_form = form.as_ref().and_then(|form| in_form(form, name));
            let value = in_form.or_else(|| {
                let values = arguments::find(query.as_bytes(), name.as_bytes());
                one_or_all(values.map(|value| argument(value.as_deref())))
            });
            Some((*name, value?))
        });
        Self(found.collect())
    }

    /// A parameter, whatever it is; none for what says no.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(other, _)| *other == name);
        let value = found.map(|(_, value)| value);
        value.filter(|value| !matches!(value, Value::Null | Value::Bool(false)))
    }

    /// A parameter that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Whom the login page speaks for.
    pub(super) fn user(&self) -> Option<&str> {
        let user = self.text("authenticated_userid")?;
        (!user.trim().is_empty()).then_some(user)
    }
}

fn in_form(form: &Form<'_>, name: &str) -> Option<Value> {
    match form {
        Form::Json(fields) => fields.get(name).filter(|value| !value.is_null()).cloned(),
        Form::Multipart(parts) => one_or_all(parts.values(name).map(|value| argument(Some(value)))),
        Form::Arguments(arguments) => in_arguments(arguments, name),
    }
}

fn in_arguments(arguments: &Arguments<'_>, name: &str) -> Option<Value> {
    let values = arguments.values(name.as_bytes());
    one_or_all(values.map(|value| argument(value.as_deref())))
}

/// The value of an argument; one that stands without a value says yes.
fn argument(value: Option<&[u8]>) -> Value {
    match value {
        Some(value) => String::from_utf8_lossy(value).into(),
        None => true.into(),
    }
}

/// One value is itself, several are a list.
fn one_or_all(mut values: impl Iterator<Item = Value>) -> Option<Value> {
    let first = values.next()?;
    Some(match values.next() {
        None => first,
        Some(second) => Value::Array([first, second].into_iter().chain(values).collect()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{exchange, with_body};

    #[test]
    fn the_body_goes_before_the_query() {
        let request = || exchange("POST", "/a?code=q&state=s&scope=a&scope=b&grant_type");
        for (kind, body) in [
            ("application/x-www-form-urlencoded", "code=b%20c&client_id="),
            ("application/json", r#"{"code":"b c","client_id":""}"#),
        ] {
            let parameters = Parameters::of(&with_body(request(), kind, body));
            assert_eq!(parameters.text("code"), Some("b c"));
            assert_eq!(parameters.text("client_id"), Some(""));
            assert_eq!(parameters.text("state"), Some("s"));
            assert_eq!(parameters.get("scope"), Some(&json!(["a", "b"])));
            assert_eq!(parameters.get("grant_type"), Some(&json!(true)));
            assert_eq!(parameters.text("grant_type"), None);
        }
    }

    #[test]
    fn bodies_of_other_methods_say_nothing() {
        let request = with_body(
            exchange("DELETE", "/a"),
            "application/json",
            r#"{"code":"b"}"#,
        );
        assert!(Parameters::of(&request).get("code").is_none());
    }

    #[test]
    fn nobody_is_no_user() {
        for (query, user) in [
            ("authenticated_userid=u%201", Some("u 1")),
            ("authenticated_userid=%20", None),
            ("authenticated_userid", None),
            ("", None),
        ] {
            let parameters = Parameters::of(&exchange("GET", &format!("/a?{query}")));
            assert_eq!(parameters.user(), user, "{query}");
        }
    }
}
