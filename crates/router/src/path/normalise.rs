//! One spelling per path.

use std::borrow::Cow;

use memchr::memchr;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A `%` without two hexadecimal digits, or an escaped NUL. Answered with 400.
    #[error("the path has a malformed percent escape")]
    Escape,
    /// `..` leads above the root. Answered with 400.
    #[error("the path leads above the root")]
    AboveRoot,
    /// The unescaped path is not UTF-8; no route matches it. Answered with 404.
    #[error("the path is not UTF-8")]
    NotUtf8,
}

/// Normalises a raw path (without query): decodes escapes except those of reserved characters,
/// writes the remaining ones in upper case, resolves `.` and `..`, and merges slashes.
///
/// Borrowed when there is nothing to change.
pub fn normalise(raw: &str) -> Result<Cow<'_, str>, PathError> {
    let bytes = raw.as_bytes();
    let escaped = memchr(b'%', bytes).is_some();
    if escaped {
        check_escapes(bytes)?;
    }
    // Without a way out, so that many bytes are looked at in one step.
    let odd = bytes
        .iter()
        .zip(&bytes[bytes.len().min(1)..])
        .fold(false, |odd, (byte, next)| {
            odd | (*byte == b'/') & ((*next == b'/') | (*next == b'.'))
        });
    let plain = raw.starts_with('/') && !odd;
    if plain && !escaped {
        return Ok(Cow::Borrowed(raw));
    }
    check_depth(bytes)?;
    let decoded = if escaped {
        Cow::Owned(decode(bytes))
    } else {
        Cow::Borrowed(bytes)
    };
    String::from_utf8(resolve(&decoded))
        .map(Cow::Owned)
        .map_err(|_| PathError::NotUtf8)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// The value of the escape at the start of `bytes`, if there is a well-formed one.
fn escape_at(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'%', high, low, ..] => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    }
}

fn check_escapes(bytes: &[u8]) -> Result<(), PathError> {
    for at in memchr::memchr_iter(b'%', bytes) {
        if escape_at(&bytes[at..]).is_none_or(|value| value == 0) {
            return Err(PathError::Escape);
        }
    }
    Ok(())
}

/// Refuses a path whose `..` lead above the root, taking an escaped slash or dot for a real one, as
/// an upstream may. What follows a `#` is not looked at.
fn check_depth(bytes: &[u8]) -> Result<(), PathError> {
    let mut depth = 0_usize;
    let mut segment = Segment::Empty;
    let mut rest = bytes;
    loop {
        let (byte, length) = match rest {
            [] | [b'#', ..] => (None, 0),
            [first, ..] => match escape_at(rest) {
                Some(value) => (Some(value), 3),
                None => (Some(*first), 1),
            },
        };
        match byte {
            None | Some(b'/') => {
                match segment {
                    Segment::Empty | Segment::Dot => {}
                    Segment::DotDot => depth = depth.checked_sub(1).ok_or(PathError::AboveRoot)?,
                    Segment::Name => depth += 1,
                }
                segment = Segment::Empty;
            }
            Some(b'.') => segment = segment.dot(),
            Some(_) => segment = Segment::Name,
        }
        if byte.is_none() {
            return Ok(());
        }
        rest = &rest[length..];
    }
}

#[derive(Clone, Copy)]
enum Segment {
    Empty,
    Dot,
    DotDot,
    Name,
}

impl Segment {
    fn dot(self) -> Self {
        match self {
            Self::Empty => Self::Dot,
            Self::Dot => Self::DotDot,
            Self::DotDot | Self::Name => Self::Name,
        }
    }
}

/// Decodes escapes, except those of reserved characters, which are written in upper case.
fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        match escape_at(rest) {
            Some(value) if is_reserved(value) => {
                out.extend(rest[..3].iter().map(u8::to_ascii_uppercase));
                rest = &rest[3..];
            }
            Some(value) => {
                out.push(value);
                rest = &rest[3..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

fn is_reserved(byte: u8) -> bool {
    b"!*'();:@&=+$,/?%#[]".contains(&byte)
}

/// Resolves dot segments and merges slashes.
fn resolve(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while !rest.is_empty() {
        match rest {
            b"/." => rest = b"/",
            b"/.." => {
                rest = b"/";
                leave(&mut out);
            }
            b"." | b".." => rest = b"",
            [b'.', b'.', b'/', ..] => rest = &rest[3..],
            [b'.', b'/', ..] => rest = &rest[2..],
            [b'/', b'.', b'/', ..] => rest = &rest[2..],
            [b'/', b'.', b'.', b'/', ..] => {
                rest = &rest[3..];
                leave(&mut out);
            }
            [b'/', b'/', ..] => rest = &rest[1..],
            _ => {
                let end = memchr(b'/', &rest[1..]).map_or(rest.len(), |at| at + 1);
                out.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
            }
        }
    }
    out
}

/// Takes off the last segment with its slash.
fn leave(out: &mut Vec<u8>) {
    out.truncate(memchr::memrchr(b'/', out).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::{PathError, normalise};
    use proptest::prelude::*;
    use std::borrow::Cow;

    fn ok(raw: &str) -> String {
        normalise(raw).unwrap().into_owned()
    }

    #[test]
    fn a_plain_path_is_borrowed() {
        for raw in ["/", "/a/b.c", "/a/", "/é", "/a#b"] {
            assert!(matches!(normalise(raw), Ok(Cow::Borrowed(same)) if same == raw));
        }
    }

    #[test]
    fn dots_and_slashes_are_resolved() {
        assert_eq!(ok("/a/./b//c/../d"), "/a/b/d");
        assert_eq!(ok("/a/.."), "/");
        assert_eq!(ok("/a/../"), "/");
        assert_eq!(ok("/a/."), "/a/");
        assert_eq!(ok("//"), "/");
        assert_eq!(ok("/a/...//.b"), "/a/.../.b");
        assert_eq!(ok("/%61/%2e%2E/b"), "/b");
    }

    #[test]
    fn escapes_are_decoded_unless_reserved() {
        assert_eq!(ok("/%7euser%20x"), "/~user x");
        assert_eq!(ok("/a%2fb%3A%25"), "/a%2Fb%3A%25");
        assert_eq!(ok("/%c3%a9"), "/é");
        assert_eq!(ok("/%2541"), "/%2541");
    }

    #[test]
    fn malformed_escapes_are_refused() {
        for raw in ["/%", "/%a", "/%zz", "/%u0041", "/a%00b"] {
            assert_eq!(normalise(raw), Err(PathError::Escape), "{raw}");
        }
        assert_eq!(normalise("/%ff"), Err(PathError::NotUtf8));
        assert_eq!(normalise("/%c0%af"), Err(PathError::NotUtf8));
    }

    #[test]
    fn nothing_leads_above_the_root() {
        for raw in [
            "/..",
            "/../a",
            "/a/../..",
            "/%2e%2e/a",
            "/%2F..",
            "/..%2fa",
            "//..",
        ] {
            assert_eq!(normalise(raw), Err(PathError::AboveRoot), "{raw}");
        }
        assert_eq!(ok("/a/../#/../.."), "/");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn a_normalised_path_stays_as_it_is(raw in "/([a%./#é]|//|%2[eEfF]|%41|%[cC]3%[aA]9|\\.\\./){0,12}") {
            if let Ok(once) = normalise(&raw) {
                match normalise(&once) {
                    Ok(twice) => prop_assert_eq!(&once, &twice),
                    // An escaped slash counts as one only where the root is guarded.
                    Err(error) => {
                        prop_assert_eq!(error, PathError::AboveRoot);
                        prop_assert!(once.contains("%2F") || once.contains('#'));
                    }
                }
            }
        }

        #[test]
        fn any_text_is_normalised_or_refused(raw in ".{0,40}") {
            if let Ok(path) = normalise(&raw) {
                prop_assert!(!path.contains("//"));
                prop_assert!(!path.contains("/../"));
            }
        }
    }
}
