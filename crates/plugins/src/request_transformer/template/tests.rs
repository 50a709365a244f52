use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::testing::exchange;

fn render(text: &str) -> String {
    let mut exchange = exchange("GET", "/a/seg?q=Q&f&empty=");
    let a = HeaderValue::from_static("Abc");
    exchange.headers.insert("x-a", a);
    exchange.captures = vec![
        ("1".to_owned(), "seg".to_owned()),
        ("name".to_owned(), "seg".to_owned()),
    ];
    exchange.shared = vec![("foo".to_owned(), "bar".to_owned())];
    let rendered = Template::parse(text).unwrap().render(Facts::of(&exchange));
    String::from_utf8(rendered).unwrap()
}

#[test]
fn things_of_the_request_are_filled_in() {
    assert_eq!(render("$(headers['x-a'])"), "Abc");
    assert_eq!(render("$(headers.x_a)"), "Abc");
    assert_eq!(render("$(headers[\"X-A\"])"), "Abc");
    assert_eq!(render("$(query_params.q)"), "Q");
    assert_eq!(render("$(query_params.f)"), "true");
    assert_eq!(
        render("/x/$(uri_captures[1])/$(uri_captures.name)"),
        "/x/seg/seg"
    );
    assert_eq!(render("$(shared.foo)"), "bar");
}

#[test]
fn absent_things_are_empty() {
    assert_eq!(render("$(headers['x-b'])-$(query_params.z)"), "-");
    assert_eq!(render("$(uri_captures[2])$(shared.x)$(nil)$(false)"), "");
    assert_eq!(render("$(headers['not a header'])"), "");
    assert_eq!(render("$()"), "");
}

#[test]
fn operators_choose_and_join() {
    assert_eq!(render("$(headers.none or 'd')"), "d");
    assert_eq!(render("$(query_params.empty or 'd')"), "");
    assert_eq!(render("$(headers.x_a == 'Abc' and 'yes' or 'no')"), "yes");
    assert_eq!(render("$(headers.x_a ~= 'Abc' and 'yes' or 'no')"), "no");
    assert_eq!(render("$(not headers.none and 'none')"), "none");
    assert_eq!(render("$(headers.x_a .. '-' .. 1 .. 2.5)"), "Abc-12.5");
    assert_eq!(render("$(('a' or 'b') .. (nil or 'c'))"), "ac");
}

#[test]
fn functions_change_texts() {
    assert_eq!(render("$(string.upper(headers['x-n'] or 'd'))"), "D");
    assert_eq!(render("$(headers.x_a:lower():sub(2))"), "bc");
    assert_eq!(render("$(string.sub(headers.x_a, -2, 2))"), "b");
    assert_eq!(render("$(string.sub(headers.x_a, 3, 2))"), "");
    assert_eq!(render("$(string.len(headers.x_a))"), "3");
    assert_eq!(render("$(tostring(12))"), "12");
}

#[test]
fn other_text_stands_for_itself() {
    assert_eq!(render("a$b ${c} # )"), "a$b ${c} # )");
    assert_eq!(render("$(')')("), ")(");
    assert_eq!(Template::parse("plain").unwrap().fixed(), Some("plain"));
    assert_eq!(Template::parse("").unwrap().fixed(), Some(""));
    assert_eq!(Template::parse("$(1)").unwrap().fixed(), None);
}

#[test]
fn what_templates_do_not_know_is_refused() {
    let error = |text: &str| Template::parse(text).unwrap_err().to_string();
    assert_eq!(error("$(headers.x"), "'$(' without a closing ')'");
    assert!(error("$(os.time())").starts_with("unknown name 'os'"));
    assert!(error("$(string.rep('a', 9))").starts_with("unknown name 'string.rep'"));
    assert_eq!(error("$(headers)"), "expected '.' or '[' at ')'");
    assert_eq!(error("$(1 + 1)"), "expected ')' or an operator at '+ 1)'");
    assert_eq!(error("$(string.sub('a'))"), "'sub' takes 2 to 3 arguments");
    assert_eq!(
        error("$('a)"),
        "expected a text with a closing quote at ''a)'"
    );
    assert_eq!(
        error(&format!("$({}", "(".repeat(99))),
        "nested deeper than 32 levels"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_template_makes_it_panic(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "$(", ")", "(", "headers", ".", "[", "]", "'", "\"", "x", "1", "-", "..", "or",
                "and", "not", " ", "==", "~=", ":", "sub", "string", ",", "\\", "nil", "\u{fc}",
                "9999999999999999999999", "uri_captures", "query_params", "tostring",
            ]),
            0..24,
        ),
    ) {
        let text = words.concat();
        if let Ok(template) = Template::parse(&text) {
            template.render(Facts::of(&exchange("GET", "/?x=1")));
        }
    }

    #[test]
    fn text_without_places_is_rendered_as_it_is(text in "[^$]{0,32}") {
        let template = Template::parse(&text).unwrap();
        prop_assert_eq!(template.fixed(), Some(text.as_str()));
    }
}
