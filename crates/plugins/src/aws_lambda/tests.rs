use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::answer::{Reading, Unread, empty_lists_as_objects, read};
use super::config::PassedOn;
use super::{credentials, payload};
use crate::exchange::MadeBy;
use crate::function::client::Answer;
use crate::response::Body;
use crate::testing::*;
use crate::{Exchange, Response};

fn config(address: std::net::SocketAddr, more: Value) -> Value {
    let mut config = json!({
        "aws_key": "AKID", "aws_secret": "s3cret", "aws_region": "eu-west-1",
        "function_name": "f", "host": "127.0.0.1", "port": address.port(), "disable_https": true,
    });
    let fields = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(fields);
    config
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// Checks the signature as AWS does: from what was received alone, by signature version 4.
fn check_signature(received: &Received, (id, secret): (&str, &str), region: &str, service: &str) {
    let authorization = received.header("authorization").unwrap();
    let (scheme, fields) = authorization.split_once(' ').unwrap();
    assert_eq!(scheme, "AWS4-HMAC-SHA256");
    let field = |name: &str| {
        let mut fields = fields
            .split(", ")
            .map(|field| field.split_once('=').unwrap());
        fields.find(|(other, _)| *other == name).unwrap().1
    };
    let at = received.header("x-amz-date").unwrap();
    let scope = format!("{}/{region}/{service}/aws4_request", &at[..8]);
    assert_eq!(field("Credential"), format!("{id}/{scope}"));
    let names = field("SignedHeaders");
    for name in ["host", "x-amz-date"] {
        assert!(names.split(';').any(|signed| signed == name), "{names}");
    }
    let mut parts = received.line.split(' ');
    let (method, target) = (parts.next().unwrap(), parts.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    // The path is escaped once more than it is sent.
    let path: String = path
        .bytes()
        .map(|byte| match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let mut query: Vec<&str> = query.split('&').collect();
    query.sort_unstable();
    let headers: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", received.header(name).unwrap()))
        .collect();
    let body = sha256(&received.body);
    assert_eq!(received.header("x-amz-content-sha256"), Some(body.as_str()));
    let request = format!(
        "{method}\n{path}\n{}\n{headers}\n{names}\n{body}",
        query.join("&")
    );
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{at}\n{scope}\n{}",
        sha256(request.as_bytes())
    );
    let key = sign(format!("AWS4{secret}").as_bytes(), &at[..8]);
    let key = sign(&sign(&sign(&key, region), service), "aws4_request");
    assert_eq!(field("Signature"), hex(&sign(&key, &to_sign)));
}

fn body(response: &Response) -> &[u8] {
    match &response.body {
        Body::Bytes(body) => body,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_function_is_called_with_a_signature_that_aws_accepts() {
    let answer = "200 OK\r\nX-Amzn-RequestId: 7\r\nContent-Type: application/json";
    let (address, told) = server(vec![(answer, r#"{"a": []}"#.to_owned())]);
    let more = json!({
        "function_name": "arn:aws:lambda:eu-west-1:1:function:f/ü", "qualifier": "v 1",
        "invocation_type": "Event", "log_type": "None",
    });
    let plugin = compiled("aws-lambda", config(address, more));
    let response = waited(plugin, &mut exchange("GET", "/a?x=1&x=2&y"));
    assert_eq!(response.status, 200);
    assert_eq!(response.made_by, MadeBy::Function);
    assert_eq!(values(&response.headers, "x-amzn-requestid"), ["7"]);
    assert_eq!(body(&response), br#"{"a": {}}"#);
    let received = told.recv().unwrap();
    assert_eq!(
        received.line,
        "POST /2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A1%3Afunction%3Af%2F%C3%BC\
         /invocations?Qualifier=v%201 HTTP/1.1"
    );
    check_signature(&received, ("AKID", "s3cret"), "eu-west-1", "lambda");
    assert_eq!(received.header("x-amz-invocation-type"), Some("Event"));
    assert_eq!(received.header("x-amz-log-type"), Some("None"));
    let payload: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(payload, json!({"x": ["1", "2"], "y": true}));
}

fn assumed(end: &str) -> String {
    format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleResult><AssumedRoleUser><Arn>x</Arn></AssumedRoleUser><Credentials>\
         <AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>r0le</SecretAccessKey>\
         <SessionToken>t0ken</SessionToken><Expiration>{end}</Expiration></Credentials>\
         </AssumeRoleResult><ResponseMetadata/></AssumeRoleResponse>"
    )
}

#[test]
fn a_role_is_taken_once_for_its_time() {
    let answer = || ("200 OK", "null".to_owned());
    let (lambda, told) = server(vec![answer(), answer()]);
    let (sts, asked) = server(vec![("200 OK", assumed("2999-01-01T00:00:00Z"))]);
    let more = json!({
        "aws_assume_role_arn": "arn:aws:iam::1:role/r", "aws_role_session_name": "s",
        "aws_sts_endpoint_url": format!("http://{sts}"),
    });
    let plugin = compiled("aws-lambda", config(lambda, more));
    for _ in 0..2 {
        assert_eq!(waited(plugin, &mut exchange("GET", "/a")).status, 200);
        let received = told.recv().unwrap();
        check_signature(&received, ("ROLE", "r0le"), "eu-west-1", "lambda");
        assert_eq!(received.header("x-amz-security-token"), Some("t0ken"));
    }
    let received = asked.recv().unwrap();
    check_signature(&received, ("AKID", "s3cret"), "eu-west-1", "sts");
    assert_eq!(
        received.body,
        b"Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr\
          &RoleSessionName=s"
    );
}

#[test]
fn the_answer_of_sts_is_read_with_its_end() {
    let (credential, end) = credentials::read(&assumed("2024-02-29T12:34:56Z")).unwrap();
    assert_eq!(credential.key_id, "ROLE");
    let since = end.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_secs(), NOW);
    let refused = credentials::read("<ErrorResponse/>").unwrap_err();
    assert!(refused.contains("no credentials"), "{refused}");
}

fn told(exchange: &Exchange<'_>, passed_on: Value) -> Value {
    let passed_on: PassedOn = serde_json::from_value(passed_on).unwrap();
    serde_json::from_slice(&payload::payload(exchange, &passed_on)).unwrap()
}

#[test]
fn query_and_fields_of_the_body_are_told_side_by_side() {
    let form = with_body(
        exchange("POST", "/a?a=1&b=2"),
        "application/x-www-form-urlencoded",
        "b=3&c=4",
    );
    let expected = json!({"a": "1", "b": "3", "c": "4"});
    assert_eq!(told(&form, json!({})), expected);
    let nested = with_body(exchange("POST", "/a"), "application/json", r#"{"k":[{}]}"#);
    assert_eq!(told(&nested, json!({})), json!({"k": [{}]}));
    let list = with_body(exchange("POST", "/a"), "application/json", "[1,2]");
    assert_eq!(told(&list, json!({})), json!([1, 2]));
    let text = with_body(exchange("POST", "/a"), "text/plain", "hello");
    assert_eq!(told(&text, json!({})), json!({}));
}

#[test]
fn what_is_chosen_is_told() {
    let all = json!({
        "forward_request_method": true, "forward_request_uri": true,
        "forward_request_headers": true, "forward_request_body": true,
    });
    let asked = with_headers(exchange("PUT", "/a%20b?q=1"), &[("x-a", "1"), ("x-a", "2")]);
    let asked = with_body(asked, "application/json", r#"{"k":1}"#);
    let expected = json!({
        "request_method": "PUT", "request_uri": "/a%20b?q=1", "request_uri_args": {"q": "1"},
        "request_headers": {
            "host": "example.test", "x-a": ["1", "2"], "content-type": "application/json",
        },
        "request_body": r#"{"k":1}"#, "request_body_args": {"k": 1},
    });
    assert_eq!(told(&asked, all), expected);
    let method = json!({"forward_request_method": true});
    assert_eq!(told(&asked, method), json!({"request_method": "PUT"}));
}

#[test]
fn bodies_without_fields_are_told_as_text_or_in_base64() {
    let body = json!({"forward_request_body": true});
    let plain = json!({"forward_request_body": true, "base64_encode_body": false});
    let encoded = |text: &str| json!({"request_body": text, "request_body_base64": true, "request_body_args": {}});
    let text = |text: &str| json!({"request_body": text, "request_body_args": {}});
    let of = |kind: &str, body: &str| with_body(exchange("POST", "/a"), kind, body);
    assert_eq!(told(&of("text/plain", "hi"), body.clone()), text("hi"));
    assert_eq!(told(&of("image/x", "hi"), body.clone()), encoded("aGk="));
    assert_eq!(told(&of("image/x", "hi"), plain.clone()), text("hi"));
    assert_eq!(told(&exchange("GET", "/a"), body.clone()), encoded(""));
    let broken = of("application/json", "{");
    assert_eq!(told(&broken, body.clone()), json!({"request_body": "{"}));
    let large = of("text/plain", &"x".repeat(9000));
    assert_eq!(told(&large, body.clone()), json!({"request_body_args": {}}));
    let mut whole = body;
    whole["skip_large_bodies"] = false.into();
    let length = told(&large, whole)["request_body"].as_str().unwrap().len();
    assert_eq!(length, 9000);
}

#[test]
fn requests_are_told_as_amazons_gateway_tells_them() {
    let asked = with_headers(
        exchange("POST", "/api/7?q=1&q=2&z"),
        &[("x-a", "1"), ("x-a", "2"), ("user-agent", "test")],
    );
    let mut asked = with_body(asked, "text/plain", "hi");
    asked.upstream.path = "/7".to_owned();
    asked.captures = vec![
        ("0".to_owned(), "/api/7".to_owned()),
        ("1".to_owned(), "7".to_owned()),
        ("id".to_owned(), "7".to_owned()),
    ];
    let expected = json!({
        "version": "1.0", "resource": "/api/7", "path": "/7", "httpMethod": "POST",
        "headers": {
            "host": "example.test", "x-a": "1", "user-agent": "test",
            "content-type": "text/plain",
        },
        "multiValueHeaders": {
            "host": ["example.test"], "x-a": ["1", "2"], "user-agent": ["test"],
            "content-type": ["text/plain"],
        },
        "pathParameters": {"id": "7"},
        "queryStringParameters": {"q": "1", "z": true},
        "multiValueQueryStringParameters": {"q": ["1", "2"], "z": [true]},
        "body": "aGk=", "isBase64Encoded": true,
        "requestContext": {
            "path": "/7", "protocol": "HTTP/1.1", "httpMethod": "POST",
            "domainName": "example.test", "domainPrefix": "example",
            "identity": {"sourceIp": "192.0.2.7", "userAgent": "test"},
            "requestId": "0123456789abcdef0123456789abcdef",
            "requestTime": "29/Feb/2024:12:34:56 +0000", "requestTimeEpoch": NOW * 1000,
            "resourcePath": "/7",
        },
    });
    assert_eq!(
        told(&asked, json!({"awsgateway_compatible": true})),
        expected
    );
    asked.captures.clear();
    asked.route = Some(leaked(json!({
        "id": "6a0a9a50-6b1c-4b6a-9c1c-000000000001", "protocols": ["http"],
        "paths": ["/", "/api", "~/api/.*"],
    })));
    asked.request_body = None;
    let plain = json!({"awsgateway_compatible": true, "base64_encode_body": false});
    let told = told(&asked, plain);
    assert_eq!(told["resource"], "/api");
    assert_eq!(
        (&told["body"], &told["isBase64Encoded"]),
        (&Value::Null, &json!(false))
    );
}

const PLAIN: Reading = Reading {
    proxy_integration: false,
    unhandled: None,
    empty_lists_as_objects: true,
};

const GATEWAY: Reading = Reading {
    proxy_integration: true,
    ..PLAIN
};

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn a_text_in_json_is_answered_without_its_quotes() {
    let response = read(answer(200, &[JSON], r#""a\n[]""#), PLAIN).unwrap();
    assert_eq!(body(&response), b"a\n[]");
    let response = read(answer(200, &[], r#""a""#), PLAIN).unwrap();
    assert_eq!(body(&response), br#""a""#);
}

#[test]
fn empty_lists_stay_where_they_shall() {
    let correct = Reading {
        empty_lists_as_objects: false,
        ..PLAIN
    };
    for (reading, expected) in [
        (PLAIN, r#"{"a":{},"b":[1]}"#),
        (correct, r#"{"a":[],"b":[1]}"#),
    ] {
        let response = read(answer(200, &[JSON], r#"{"a":[],"b":[1]}"#), reading).unwrap();
        assert_eq!(body(&response), expected.as_bytes());
    }
}

#[test]
fn a_function_that_fails_has_its_own_status() {
    let failed = || answer(200, &[JSON, ("x-amz-function-error", "Unhandled")], "{}");
    let reading = Reading {
        unhandled: Some(StatusCode::IM_A_TEAPOT),
        ..PLAIN
    };
    assert_eq!(read(failed(), reading).unwrap().status, 418);
    assert_eq!(read(failed(), PLAIN).unwrap().status, 200);
    assert_eq!(read(answer(202, &[], ""), reading).unwrap().status, 202);
}

#[test]
fn what_aws_refuses_is_an_error() {
    let refused = read(answer(403, &[JSON], r#"{"Message":"no"}"#), PLAIN).unwrap_err();
    let expected = Unread::Refused(StatusCode::FORBIDDEN, "no".to_owned());
    assert_eq!(refused, expected);
}

#[test]
fn a_function_behind_the_gateway_makes_the_whole_response() {
    let said = json!({
        "statusCode": "201", "isBase64Encoded": true, "body": "aGk=",
        "headers": {"X-A": 1, "content-type": "text/x", "Content-Length": "99"},
        "multiValueHeaders": {"X-B": ["1", "2"]},
    });
    for text in [
        said.to_string(),
        Value::String(said.to_string()).to_string(),
    ] {
        let answer = answer(200, &[JSON, ("x-amzn-requestid", "7")], &text);
        let response = read(answer, GATEWAY).unwrap();
        assert_eq!(
            (response.status.as_u16(), body(&response)),
            (201, &b"hi"[..])
        );
        assert_eq!(values(&response.headers, "x-a"), ["1"]);
        assert_eq!(values(&response.headers, "x-b"), ["1", "2"]);
        assert_eq!(values(&response.headers, "x-amzn-requestid"), ["7"]);
        assert_eq!(values(&response.headers, CONTENT_TYPE.as_str()), ["text/x"]);
        assert!(!response.headers.contains_key("content-length"));
    }
    let base64 = json!({"statusCode": 200, "isBase64Encoded": true, "body": "%"});
    let unread = read(answer(200, &[JSON], &base64.to_string()), GATEWAY);
    assert_eq!(unread.unwrap_err(), Unread::Base64);
}

#[test]
fn what_is_no_response_is_told_to_the_client() {
    for (said, problem) in [
        ("x", "Expected value but found invalid token at character 1"),
        ("{}", "statusCode validation failed"),
        ("[]", "statusCode validation failed"),
        (r#"{"statusCode": 99}"#, "statusCode validation failed"),
        (
            r#"{"statusCode": 200, "headers": 1}"#,
            "headers must be a table",
        ),
        (
            r#"{"statusCode": 200, "body": {}}"#,
            "body must be a string",
        ),
        (
            r#"{"statusCode": 200, "isBase64Encoded": 1}"#,
            "isBase64Encoded must be a boolean",
        ),
    ] {
        let response = read(answer(200, &[JSON], said), GATEWAY).unwrap();
        assert_eq!(response.status, 502);
        let told: Value = serde_json::from_slice(body(&response)).unwrap();
        let problem = format!("could not JSON decode Lambda function response: {problem}");
        assert_eq!(told, json!({"message": "Bad Gateway", "error": problem}));
    }
}

#[test]
fn clients_do_not_learn_why_there_is_no_response() {
    let (address, _told) = server(vec![("403 X", r#"{"Message":"secret reason"}"#.to_owned())]);
    let refused = compiled("aws-lambda", config(address, json!({})));
    let nameless = compiled(
        "aws-lambda",
        config(address, json!({"function_name": null})),
    );
    let unsigned = compiled("aws-lambda", config(address, json!({"aws_key": "a\nb"})));
    for plugin in [refused, nameless, unsigned] {
        let response = waited(plugin, &mut exchange("GET", "/a"));
        assert_eq!(response.status, 500);
        assert!(
            matches!(response.body, Body::Error(text) if text == "An unexpected error occurred")
        );
    }
}

#[test]
fn settings_are_completed_and_checked() {
    let completed = validated("aws-lambda", json!({"function_name": "f"})).unwrap();
    assert_eq!(completed["port"], 443);
    assert_eq!(completed["empty_arrays_mode"], "legacy");
    compiled("aws-lambda", completed);
    let problem = |config| validated("aws-lambda", config).unwrap_err()["message"].to_string();
    assert!(problem(json!({"aws_key": "k"})).contains("aws_secret"));
    let proxy = problem(json!({"proxy_url": "https://p.test"}));
    assert!(proxy.contains("proxy_url scheme must be http"), "{proxy}");
    assert!(problem(json!({"invocation_type": "x"})).contains("invocation_type"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[\\[\\]\"\\\\ a]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((".{0,3}", inner), 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn without_empty_lists(value: Value) -> Value {
    match value {
        Value::Array(items) if items.is_empty() => json!({}),
        Value::Array(items) => items.into_iter().map(without_empty_lists).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, without_empty_lists(value)))
            .collect(),
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn only_empty_lists_change(value in any_json(), pretty: bool) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&value).unwrap(),
            false => value.to_string(),
        };
        let written: Value = serde_json::from_slice(&empty_lists_as_objects(text.as_bytes())).unwrap();
        prop_assert_eq!(written, without_empty_lists(value));
    }

    #[test]
    fn any_answer_makes_a_response_or_an_error(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..40), any_json().prop_map(|value| value.to_string().into_bytes())],
        proxy_integration: bool,
    ) {
        let mut answer = answer(200, &[JSON], "");
        answer.body = bytes.into();
        let _ = read(answer, Reading { proxy_integration, ..PLAIN });
    }
}
