//! Regular expressions in paths, as far as PCRE refuses them.
//!
//! What PCRE knows and the router's engine does not is refused with the route as a whole.

use regex_syntax::ast::ErrorKind;

/// Letters that mean something to PCRE after a backslash, beyond those that mean something to the
/// router's engine.
const OF_PCRE: &str = "ceghkoCEGHKNQRVXZ";

/// Letters after a backslash that PCRE knows from Perl and does not offer.
const OF_PERL: [char; 5] = ['F', 'L', 'l', 'U', 'u'];

pub(super) fn check(pattern: &str) -> Result<(), String> {
    let refuse = |why: &str, place: &str| {
        Err(format!(
            "invalid regex: '{pattern}' (PCRE returned: pcre2_compile() failed: {why} in \
             \"{pattern}\"{place})"
        ))
    };
    if let Some(rest) = perl_escape(pattern) {
        return refuse(
            "PCRE2 does not support \\F, \\L, \\l, \\N{name}, \\U, or \\u",
            &format!(" at \"{rest}\""),
        );
    }
    let Err(error) = regex::Regex::new(pattern) else {
        return Ok(());
    };
    if is_known_to_pcre(pattern) {
        return Ok(());
    }
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    let why = last.strip_prefix("error: ").unwrap_or(last);
    let why = match why {
        "unclosed group" => "missing closing parenthesis",
        "unopened group" => "unmatched closing parenthesis",
        "unclosed character class" => "missing terminating ] for character class",
        "repetition operator missing expression" => "quantifier does not follow a repeatable item",
        other => other,
    };
    refuse(why, "")
}

/// What follows the first escape that PCRE refuses by name.
fn perl_escape(pattern: &str) -> Option<&str> {
    let mut letters = pattern.char_indices();
    while let Some((_, letter)) = letters.next() {
        if letter == '\\' {
            let (at, escaped) = letters.next()?;
            if OF_PERL.contains(&escaped) {
                return pattern.get(at + escaped.len_utf8()..);
            }
        }
    }
    None
}

/// Whether PCRE understands what the router's engine stumbles over.
fn is_known_to_pcre(pattern: &str) -> bool {
    let Err(error) = regex_syntax::ast::parse::Parser::new().parse(pattern) else {
        return false;
    };
    let culprit = pattern.get(error.span().start.offset..).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnsupportedLookAround | ErrorKind::UnsupportedBackreference => true,
        ErrorKind::FlagUnrecognized => culprit.starts_with(['>', '|']),
        ErrorKind::EscapeUnrecognized => culprit
            .strip_prefix('\\')
            .is_some_and(|rest| rest.starts_with(|letter| OF_PCRE.contains(letter))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_pcre_knows_is_left_to_the_route() {
        for pattern in [
            "/(?=a)", "/(?<!a)b", "/(a)\\1", "/(?>a+)", "/\\h", "/\\R", "/a",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn what_pcre_refuses_is_told_in_its_words() {
        let text = check("/(a").unwrap_err();
        assert!(
            text.contains("missing closing parenthesis in \"/(a\")"),
            "{text}"
        );
        assert_eq!(
            check("/\\\\x\\u0061").unwrap_err(),
            "invalid regex: '/\\\\x\\u0061' (PCRE returned: pcre2_compile() failed: PCRE2 does not \
             support \\F, \\L, \\l, \\N{name}, \\U, or \\u in \"/\\\\x\\u0061\" at \"0061\")"
        );
        assert!(check("/\\y").is_err());
    }
}
