use serde_json::{Value, json};

use crate::exchange::MadeBy;
use crate::response::Body;
use crate::testing::*;

/// The host is put together of the app's name and the domain.
fn config(port: u16, more: Value) -> Value {
    let mut config = json!({
        "appname": "127.0.0", "hostdomain": format!("1:{port}"), "https": false,
        "functionname": "/f/g/",
    });
    let fields = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(fields);
    config
}

#[test]
fn a_function_is_called_with_the_request_and_its_keys() {
    let (address, told) = server(vec![("404 X\r\nX-F: 1\r\nX-F: 2", "gone".to_owned())]);
    let more = json!({"apikey": "k", "clientid": "c", "routeprefix": "//r/s/"});
    let plugin = compiled("azure-functions", config(address.port(), more));
    let asked = with_headers(
        exchange("PUT", "/a?x=1&x=%20"),
        &[
            ("x-a", "1"),
            ("x-functions-key", "forged"),
            ("connection", "x"),
        ],
    );
    let response = waited(plugin, &mut with_body(asked, "text/plain", "hi"));
    assert_eq!(response.status, 404);
    assert_eq!(response.made_by, MadeBy::Function);
    assert_eq!(values(&response.headers, "x-f"), ["1", "2"]);
    assert!(!response.headers.contains_key("connection"));
    assert!(matches!(&response.body, Body::Bytes(body) if body == "gone"));
    let received = told.recv().unwrap();
    assert_eq!(received.line, "PUT /r/s/f/g?x=1&x=%20 HTTP/1.1");
    assert_eq!(received.body, b"hi");
    for (name, value) in [
        ("host", Some(address.to_string())),
        ("x-functions-key", Some("k".to_owned())),
        ("x-functions-clientid", Some("c".to_owned())),
        ("x-a", Some("1".to_owned())),
        ("content-type", Some("text/plain".to_owned())),
        ("connection", None),
    ] {
        assert_eq!(received.header(name), value.as_deref(), "{name}");
    }
    let keys = received.headers.iter();
    assert_eq!(
        keys.filter(|(name, _)| name == "x-functions-key").count(),
        1
    );
}

#[test]
fn keys_of_clients_are_not_passed_on() {
    let (address, told) = server(vec![("200 OK", String::new())]);
    let more = json!({"routeprefix": ""});
    let plugin = compiled("azure-functions", config(address.port(), more));
    let mut asked = with_headers(exchange("GET", "/a"), &[("x-functions-key", "forged")]);
    assert_eq!(waited(plugin, &mut asked).status, 200);
    let received = told.recv().unwrap();
    assert_eq!(received.line, "GET /f/g HTTP/1.1");
    assert_eq!(received.header("x-functions-key"), None);
}

#[test]
fn a_function_that_says_nothing_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let plugin = compiled("azure-functions", config(port, json!({})));
    let response = waited(plugin, &mut exchange("GET", "/a"));
    assert_eq!(response.status, 500);
    assert!(matches!(response.body, Body::Error(text) if text == "An unexpected error occurred"));
}

#[test]
fn settings_are_completed_and_checked() {
    let given = json!({"functionname": "f", "appname": "a"});
    let completed = validated("azure-functions", given).unwrap();
    let expected = json!({
        "timeout": 600000, "https": true, "appname": "a", "hostdomain": "azurewebsites.net",
        "clientid": null, "https_verify": false, "functionname": "f", "apikey": null,
        "keepalive": 60000, "routeprefix": "api",
    });
    assert_eq!(completed, expected);
    compiled("azure-functions", completed);
    assert!(refused("azure-functions", json!({"appname": "a"})).contains("functionname"));
    let error = validated("azure-functions", json!({})).unwrap_err();
    let required = "required field missing";
    assert_eq!(
        error["fields"]["config"],
        json!({"appname": required, "functionname": required})
    );
}
