//! The path that is matched and forwarded.
//!
//! [`split_target`] → [`normalise()`] → routing and [`upstream_path`] → [`escape`].

mod join;
mod normalise;

pub use join::upstream_path;
pub use normalise::{PathError, normalise};

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may not stand in a request target as it is.
const UNSAFE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'?')
    .remove(b'@')
    .remove(b'[')
    .remove(b']')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'%');

/// Makes a normalised path fit for a request line: escapes what is neither reserved nor unreserved
/// in URIs.
pub fn escape(path: &str) -> Cow<'_, str> {
    utf8_percent_encode(path, UNSAFE).into()
}

/// A request target (origin form) as its raw path and its query.
///
/// A fragment belongs to the path when there is no query before it, and is dropped from a query.
/// `Some("")` means that the target ends with a question mark.
pub fn split_target(target: &str) -> (&str, Option<&str>) {
    let rest = target.as_bytes().get(1..).unwrap_or_default();
    let Some(mark) = memchr::memchr(b'?', rest).map(|at| at + 1) else {
        return (target, None);
    };
    let (path, query) = (&target[..mark], &target[mark + 1..]);
    let query = if path.contains('#') {
        ""
    } else {
        query.split_once('#').map_or(query, |(query, _)| query)
    };
    let kept = !query.is_empty() || target.ends_with('?');
    (path, kept.then_some(query))
}

#[cfg(test)]
mod tests {
    use super::{escape, split_target};

    #[test]
    fn unsafe_characters_are_escaped_and_others_kept() {
        assert_eq!(
            escape("/a\"<>\\^`{|} é"),
            "/a%22%3C%3E%5C%5E%60%7B%7C%7D%20%C3%A9"
        );
        let safe = "/aZ9-_.~!#$&'()*+,:;=?@[]%2F";
        assert_eq!(escape(safe), safe);
    }

    #[test]
    fn targets_are_split_at_the_question_mark() {
        assert_eq!(split_target("/a"), ("/a", None));
        assert_eq!(split_target("/a?b?c"), ("/a", Some("b?c")));
        assert_eq!(split_target("/a?"), ("/a", Some("")));
    }

    #[test]
    fn a_fragment_stays_in_a_path_and_leaves_a_query() {
        assert_eq!(split_target("/a#f"), ("/a#f", None));
        assert_eq!(split_target("/a?b#f"), ("/a", Some("b")));
        assert_eq!(split_target("/a#f?b"), ("/a#f", None));
    }
}
