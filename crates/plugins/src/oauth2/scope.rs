//! What a token is good for.

use serde_json::Value;

use super::answer::Problem;

/// The scopes that an application asks for, in the form in which they are kept; none where it asks
/// for none.
pub(super) fn asked(
    asked: Option<&Value>,
    known: Option<&[String]>,
    is_mandatory: bool,
) -> Result<Option<String>, Problem> {
    let mut scopes = Vec::new();
    if let (Some(asked), Some(known)) = (asked, known) {
        let Some(asked) = asked.as_str() else {
            return Err(Problem::new("invalid_scope", "scope must be a string"));
        };
        for scope in asked.split_ascii_whitespace() {
            if !known.iter().any(|other| other == scope) {
                let description = format!("\"{scope}\" is an invalid scope");
                return Err(Problem::new("invalid_scope", description));
            }
            scopes.push(scope);
        }
    }
    if scopes.is_empty() && is_mandatory {
        return Err(Problem::new("invalid_scope", "You must specify a scope"));
    }
    Ok((!scopes.is_empty()).then(|| scopes.join(" ")))
}

/// Whether all scopes of a token are still given out.
pub(super) fn are_known(scopes: &str, known: Option<&[String]>) -> bool {
    let known = known.unwrap_or_default();
    let mut scopes = scopes.split_ascii_whitespace();
    scopes.all(|scope| known.iter().any(|other| other == scope))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scopes_are_among_those_that_are_given_out() {
        let known = ["email".to_owned(), "profile".to_owned()];
        let ask = |value: Value| asked(Some(&value), Some(&known), true);
        let scope = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(ask(json!("email")), scope("email"));
        assert_eq!(ask(json!(" email\tprofile ")), scope("email profile"));
        for (value, description) in [
            (json!("email admin"), "\"admin\" is an invalid scope"),
            (json!(["email"]), "scope must be a string"),
            (json!(""), "You must specify a scope"),
        ] {
            let problem = Problem::new("invalid_scope", description);
            assert_eq!(ask(value), Err(problem));
        }
    }

    #[test]
    fn none_need_be_asked_for_unless_that_is_mandatory() {
        let known = ["email".to_owned()];
        assert_eq!(asked(None, Some(&known), false), Ok(None));
        assert!(asked(None, Some(&known), true).is_err());
        // Where none are given out, asking is to no avail.
        assert_eq!(asked(Some(&json!("x")), None, false), Ok(None));
    }

    #[test]
    fn a_scope_that_is_no_longer_given_out_is_noticed() {
        let known = ["email".to_owned()];
        assert!(are_known("email", Some(&known)) && are_known("", None));
        assert!(!are_known("email profile", Some(&known)) && !are_known("email", None));
    }
}
