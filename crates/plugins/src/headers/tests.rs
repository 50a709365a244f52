use proptest::prelude::*;

use super::*;

/// The headers of a head, read as a parser tells them.
fn read(lines: &[(&str, &str)]) -> HeaderMap {
    let text: String = lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let mut headers = HeaderMap::of_head(text.as_bytes(), lines.len(), 0, 0);
    let mut at = 0;
    for (name, value) in lines {
        let start = at + name.len() + 2;
        let end = start + value.len();
        headers.push_read(at..at + name.len(), start..end);
        at = end + 2;
    }
    headers
}

fn written(headers: &HeaderMap) -> Vec<String> {
    let line = |line: Line<'_>| {
        let value = String::from_utf8_lossy(line.value());
        match line.name() {
            WrittenName::AsSent(name) => format!("{} {value}", String::from_utf8_lossy(name)),
            WrittenName::Lower(name) => format!("{name} {value}"),
        }
    };
    headers.lines().map(line).collect()
}

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

#[test]
fn fields_are_found_in_letters_of_either_case() {
    let headers = read(&[("HOST", "h"), ("x-A", "1"), ("X-a", "2")]);
    assert_eq!(headers["host"], "h");
    assert_eq!(headers.get("X-A"), Some(&value("1")));
    assert!(headers.get_all("x-a").iter().eq(["1", "2"]));
    assert!(headers.get_all("x-a").bytes().eq([b"1", b"2"]));
    assert!(headers.keys().eq(["host", "x-a", "x-a"]));
    assert!(headers.get("x-b").is_none() && !headers.contains_key("x"));
}

#[test]
fn what_is_set_takes_the_place_of_all_that_was_there() {
    let mut headers = read(&[("X-A", "1"), ("Via", "v"), ("x-a", "2")]);
    assert_eq!(headers.insert("x-a", value("3")), Some(value("1")));
    assert_eq!(headers.insert("x-b", value("4")), None);
    assert_eq!(written(&headers), ["X-A 3", "Via v", "x-b 4"]);
    assert!(headers.append("x-b", value("5")));
    headers.tell("X-B", |out| out.extend_from_slice(b"6"));
    headers.tell("X-C", |out| out.extend_from_slice(b"7"));
    assert_eq!(written(&headers), ["X-A 3", "Via v", "x-b 6", "X-C 7"]);
    assert_eq!(headers["x-b"], "6");
    assert_eq!(headers["x-c"], "7");
}

#[test]
fn lines_that_stand_written_out_are_lent_whole() {
    let head = b"A: 1\r\nB:2\r\nC: 3 \r\nD:\r\nE: 5";
    let mut headers = HeaderMap::of_head(head, 5, 0, 0);
    for (name, value) in [(0, 3..4), (6, 8..9), (11, 14..15), (18, 0..0), (22, 25..26)] {
        headers.push_read(name..name + 1, value);
    }
    headers.tell("F", |out| out.extend_from_slice(b"6"));
    let whole: Vec<_> = headers.lines().map(|line| line.whole()).collect();
    let (first, last) = (&b"A: 1\r\n"[..], &b"F: 6\r\n"[..]);
    assert_eq!(whole, [Some(first), None, None, None, None, Some(last)]);
    headers.tell("A", |out| out.extend_from_slice(b"7"));
    headers.insert("f", value("8"));
    assert!(headers.lines().all(|line| line.whole().is_none()));
}

#[test]
fn what_is_asked_for_is_what_is_told_last() {
    let mut headers = read(&[("X-A", "1")]);
    assert_eq!(headers["x-a"], "1");
    headers.tell("x-a", |out| out.extend_from_slice(b"2"));
    assert_eq!(headers["x-a"], "2");
    headers.insert("x-a", value("3"));
    assert_eq!(headers["x-a"], "3");
    assert_eq!(headers.remove("x-A"), Some(value("3")));
    assert!(headers.is_empty());
}

#[test]
fn any_name_that_is_there_is_found() {
    let mut headers = read(&[("_A", "1"), ("0-b", "2"), ("-C", "3")]);
    headers.insert("zz", value("4"));
    for name in ["_a", "0-B", "-c", "ZZ"] {
        assert!(headers.contains_key(name), "{name}");
    }
}

#[test]
fn bytes_that_are_no_text_stay_what_they_are() {
    let head = b"X: \xe9\r\n";
    let mut headers = HeaderMap::of_head(head, 1, 0, 0);
    headers.push_read(0..1, 3..4);
    assert_eq!(headers["x"].as_bytes(), b"\xe9");
    assert_eq!(headers.get_bytes("x"), Some(&b"\xe9"[..]));
}

/// A change: what is done, to one of few names, with one of few values.
fn changes() -> impl Strategy<Value = Vec<(u8, usize, usize)>> {
    proptest::collection::vec((0..4u8, 0..3usize, 0..3usize), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_holds_what_the_map_of_the_http_crate_holds(changes in changes()) {
        const NAMES: [&str; 3] = ["x-a", "via", "x-b"];
        const WRITTEN: [&str; 3] = ["X-A", "vIA", "x-b"];
        const VALUES: [&str; 3] = ["1", "2", "3"];
        let lines = [("X-a", "0"), ("VIA", "0"), ("x-A", "4")];
        let mut ours = read(&lines);
        let mut theirs = http::HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            theirs.append(name, HeaderValue::from_static(value));
        }
        for (kind, name, which) in changes {
            let (lower, text) = (NAMES[name], VALUES[which]);
            match kind {
                0 => prop_assert_eq!(ours.insert(lower, value(text)), theirs.insert(lower, value(text))),
                1 => prop_assert_eq!(ours.append(lower, value(text)), theirs.append(lower, value(text))),
                2 => prop_assert_eq!(ours.remove(lower), theirs.remove(lower)),
                _ => {
                    ours.tell(WRITTEN[name], |out| out.extend_from_slice(text.as_bytes()));
                    theirs.insert(lower, value(text));
                }
            }
            prop_assert_eq!(ours.len(), theirs.len());
            prop_assert_eq!(http::HeaderMap::from(&ours), theirs.clone());
            prop_assert_eq!(&HeaderMap::from(theirs.clone()), &ours);
        }
    }
}

#[test]
fn fields_of_another_message_keep_their_spelling() {
    let head = b"ETag: x";
    let mut other = HeaderMap::of_head(head, 1, 0, 0);
    other.push_read(0..4, 6..7);
    let mut headers = HeaderMap::new();
    headers.tell("X-Told", |out| out.extend_from_slice(b"1"));
    headers.append_all(other);
    let lines: Vec<_> = headers
        .lines()
        .map(|line| (line.name(), line.value()))
        .collect();
    let sent = |name: &'static str| WrittenName::AsSent(name.as_bytes());
    assert_eq!(lines, [(sent("X-Told"), &b"1"[..]), (sent("ETag"), b"x")]);
    assert_eq!(headers["etag"], "x");
}
