//! Names, labels and tokens.

/// The name of an entity: letters, digits, `. - _ ~`, and anything beyond ASCII.
pub(crate) fn utf8_name(text: &str) -> Result<(), String> {
    let allowed = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || ".-_~".contains(c);
    if !text.is_empty() && text.chars().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "invalid value '{text}': the only accepted ascii characters are alphanumerics or \
         ., -, _, and ~"
    ))
}

/// A label: printable, without `,` and `/`.
pub(crate) fn tag(text: &str) -> Result<(), String> {
    let allowed = |c: char| !c.is_ascii() || ((' '..='~').contains(&c) && c != ',' && c != '/');
    if !text.is_empty() && text.chars().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "invalid tag '{text}': expected printable ascii (except `,` and `/`) or valid utf-8 \
         sequences"
    ))
}

/// The name of a header.
pub(crate) fn header(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("no header name provided".to_owned());
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if text.bytes().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "bad header name '{text}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"
    ))
}

/// The name of a cookie.
pub(crate) fn cookie(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("no token provided".to_owned());
    }
    let refused = |b: u8| b < 33 || b == 127 || b"()<>@,;:\\\"/?={}[]".contains(&b);
    if !text.bytes().any(refused) {
        return Ok(());
    }
    Err(
        "contains one or more invalid characters. ASCII control characters (0-31;127), space, \
         tab and the characters ()<>@,;:\\\"/?={}[] are not allowed."
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_any_letter_of_any_script() {
        assert_eq!(utf8_name("näme-日本_1~."), Ok(()));
        assert!(
            utf8_name("a b")
                .unwrap_err()
                .starts_with("invalid value 'a b': the only")
        );
    }

    #[test]
    fn tags_refuse_the_signs_that_join_them_in_queries() {
        assert_eq!(tag("a b"), Ok(()));
        assert!(tag("a,b").is_err());
        assert!(tag("a/b").is_err());
        assert!(tag("a\tb").is_err());
    }

    #[test]
    fn cookie_names_are_tokens() {
        assert_eq!(cookie("my-cookie"), Ok(()));
        assert!(cookie("a b").is_err());
    }
}
