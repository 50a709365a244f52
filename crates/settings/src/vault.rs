//! References to secrets: `{vault://env/my-secret}` and `{vault://env/creds/password}`.

use std::collections::BTreeMap;

/// Whether the text is a reference and not a value.
pub(crate) fn is_reference(text: &str) -> bool {
    text.starts_with("{vault://") && text.ends_with('}')
}

/// What a reference stands for; `Err` says why there is nothing.
///
/// `/key` after the name picks a member of a JSON object in the variable;
/// `?prefix=P` goes before the name, in place of `default_prefix`.
pub(crate) fn resolve(
    reference: &str,
    environment: &BTreeMap<String, String>,
    default_prefix: Option<&str>,
) -> Result<String, String> {
    let inner = reference
        .strip_prefix("{vault://")
        .and_then(|rest| rest.strip_suffix('}'))
        .ok_or("not a reference")?;
    let (path, query) = inner.split_once('?').unwrap_or((inner, ""));
    let mut parts = path.splitn(3, '/');
    let vault = parts.next().unwrap_or_default();
    if vault != "env" {
        return Err(format!(
            "no vault called '{vault}' can be read at start; only env can"
        ));
    }
    let name = parts
        .next()
        .filter(|name| !name.is_empty())
        .ok_or("it names no variable")?;
    let member = parts.next().filter(|key| !key.is_empty());
    let prefix = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("prefix="))
        .or(default_prefix)
        .unwrap_or_default();
    let variable = format!("{prefix}{name}")
        .replace('-', "_")
        .to_ascii_uppercase();
    let value = environment
        .get(&variable)
        .ok_or_else(|| format!("the environment variable {variable} is not set"))?;
    let Some(member) = member else {
        return Ok(value.clone());
    };
    let object: serde_json::Value = serde_json::from_str(value)
        .map_err(|_| format!("the environment variable {variable} holds no JSON object"))?;
    match object.get(member) {
        Some(serde_json::Value::String(text)) => Ok(text.clone()),
        Some(other) if other.is_number() || other.is_boolean() => Ok(other.to_string()),
        _ => Err(format!(
            "the object in the environment variable {variable} has no text member {member}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> BTreeMap<String, String> {
        [
            ("MY_SECRET", "s3cret"),
            ("APP_PG", r#"{"password":"p","port":5432}"#),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
    }

    #[test]
    fn names_members_and_prefixes_are_found() {
        let resolve = |reference| resolve(reference, &environment(), None);
        assert_eq!(resolve("{vault://env/my-secret}").unwrap(), "s3cret");
        assert_eq!(resolve("{vault://env/app-pg/password}").unwrap(), "p");
        assert_eq!(
            resolve("{vault://env/pg/port?prefix=app_}").unwrap(),
            "5432"
        );
        assert_eq!(
            super::resolve("{vault://env/pg/password}", &environment(), Some("app_")).unwrap(),
            "p"
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let resolve = |reference| resolve(reference, &environment(), None).unwrap_err();
        assert!(resolve("{vault://env/other}").contains("OTHER"));
        assert!(resolve("{vault://aws/x}").contains("aws"));
        assert!(resolve("{vault://env/my-secret/x}").contains("no JSON"));
    }
}
