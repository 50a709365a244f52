//! The syntax of the configuration file, as Kong reads it.
//!
//! `key = value`, one a line. Lines that begin with `#` or `;` are comments; an
//! unescaped `#` ends a value, `\#` stands for `#`. A backslash at the end of a
//! line continues it. Spaces around key and value do not count, quotes are part
//! of the value, the last of several lines with the same key counts.

/// A line that is not `key = value`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not key = value")]
pub struct SyntaxError {
    /// Line number, from 1.
    pub line: usize,
    /// The line up to its first `=`, so that no secret is shown.
    pub text: String,
}

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) key: String,
    pub(crate) value: String,
    /// Where it begins, from 1.
    pub(crate) line: usize,
    /// A `#` directly after other text cut the value short: perhaps not meant.
    pub(crate) cut: bool,
}

/// Reads the text of a file. Lines that cannot be read do not hide the others.
pub(crate) fn parse(text: &str) -> (Vec<Assignment>, Vec<SyntaxError>) {
    let mut assignments = Vec::new();
    let mut errors = Vec::new();
    for (line, text) in logical_lines(text) {
        let trimmed = text.trim();
        match trimmed.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() && !trimmed.starts_with('[') => {
                let (value, cut) = strip_comment(value);
                assignments.push(Assignment {
                    key: identifier(key.trim()),
                    value,
                    line,
                    cut,
                });
            }
            _ => errors.push(SyntaxError {
                line,
                text: trimmed.chars().take(40).collect(),
            }),
        }
    }
    (assignments, errors)
}

/// Lines that count, continued ones joined, each with the number of its first.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut pending: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if start.is_empty() || start.starts_with(['#', ';']) {
            continue;
        }
        let (number, mut joined) = pending.take().unwrap_or((index + 1, String::new()));
        match line.trim_end().strip_suffix('\\') {
            Some(head) => {
                joined.push_str(head);
                pending = Some((number, joined));
            }
            None => {
                joined.push_str(line);
                lines.push((number, joined));
            }
        }
    }
    lines.extend(pending);
    lines
}

/// Characters that cannot be part of a key become underscores, as Kong does it.
fn identifier(key: &str) -> String {
    key.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

fn strip_comment(value: &str) -> (String, bool) {
    let mut kept = String::with_capacity(value.len());
    let mut cut = false;
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'#') => {
                kept.push('#');
                chars.next();
            }
            '#' => {
                cut = kept
                    .chars()
                    .last()
                    .is_some_and(|before| !before.is_whitespace());
                break;
            }
            _ => kept.push(c),
        }
    }
    (kept.trim().to_owned(), cut)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let (assignments, errors) = parse(text);
        assert_eq!(errors, []);
        assignments.into_iter().map(|a| (a.key, a.value)).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn comments_and_blank_lines_are_left_out() {
        let text = "# a\n\n ; b\nrole = data_plane   # a comment\n\tprefix=/x\n";
        assert_eq!(
            values(text),
            [pair("role", "data_plane"), pair("prefix", "/x")]
        );
    }

    #[test]
    fn a_number_sign_is_escaped_by_a_backslash() {
        let text = "pg_password = pa\\#ss # not this\npg_user = a#b";
        assert_eq!(
            values(text),
            [pair("pg_password", "pa#ss"), pair("pg_user", "a")]
        );
        assert!(parse(text).0[1].cut);
        assert!(!parse(text).0[0].cut);
    }

    #[test]
    fn a_backslash_at_the_end_continues_the_line() {
        let text = "plugins = cors,\\\n# between\n  key-auth\nrole = traditional";
        let (assignments, _) = parse(text);
        assert_eq!(assignments[0].value, "cors,  key-auth");
        assert_eq!((assignments[0].line, assignments[1].line), (1, 4));
    }

    #[test]
    fn quotes_are_part_of_the_value_and_values_may_hold_equals_signs() {
        assert_eq!(
            values("a = \"x\"\nb = x=y"),
            [pair("a", "\"x\""), pair("b", "x=y")]
        );
    }

    #[test]
    fn lines_without_an_assignment_are_reported_and_the_others_read() {
        let (assignments, errors) = parse("role data_plane\n[section]\nprefix = /x");
        assert_eq!(errors.iter().map(|e| e.line).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(assignments.len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_text_is_read_without_a_panic(text in "[\\PC\n\r\t\\\\#=;]{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_written_value_is_read_back(value in "[a-z0-9#=,: /\"]{0,40}") {
            let text = format!("key = {}", value.replace('#', "\\#"));
            let (assignments, errors) = parse(&text);
            prop_assert!(errors.is_empty());
            prop_assert_eq!(&assignments[0].value, value.trim());
        }
    }
}
