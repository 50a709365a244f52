//! Reading the `Cookie` header.

use http::header::COOKIE;

use crate::HeaderMap;

/// The value of the first cookie with this name, whose letter case does not count.
pub(crate) fn find<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .find_map(|header| in_header(header.as_bytes(), name.as_bytes()))
}

fn in_header<'h>(header: &'h [u8], name: &[u8]) -> Option<&'h [u8]> {
    let mut rest = header.trim_ascii_start();
    loop {
        if let Some((found, behind)) = rest.split_at_checked(name.len())
            && found.eq_ignore_ascii_case(name)
            && let Some(value) = behind.trim_ascii_start().strip_prefix(b"=")
        {
            let value = value.trim_ascii_start();
            let end = memchr::memchr(b';', value).unwrap_or(value.len());
            return Some(&value[..end]);
        }
        let next = memchr::memchr2(b';', b',', rest)?;
        rest = rest[next + 1..].trim_ascii_start();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::headers;

    fn found(cookies: &[&str], name: &str) -> Option<String> {
        let cookies: Vec<_> = cookies.iter().map(|value| ("cookie", *value)).collect();
        let headers = headers(&cookies);
        find(&headers, name).map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn the_first_of_a_name_is_found() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(found(&["a=1; b=2;a=3"], "a"), text("1"));
        assert_eq!(found(&["a=1; b=2"], "b"), text("2"));
        assert_eq!(found(&["a=1", "B = x=y ; c"], "b"), text("x=y "));
        assert_eq!(found(&["ab=1; a=2"], "a"), text("2"));
        assert_eq!(found(&["a=", "a=2"], "a"), text(""));
        assert_eq!(found(&["a; b"], "a"), None);
        assert_eq!(found(&[], "a"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_header_is_read_or_passed_over(header: Vec<u8>, name in "[a-z]{1,3}") {
            let _ = in_header(&header, name.as_bytes());
        }
    }
}
