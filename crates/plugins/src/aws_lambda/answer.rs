//! From what a function says to a response.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::exchange::MadeBy;
use crate::function::answer::response;
use crate::function::client::Answer;
use crate::response::Body;
use crate::setting::number;
use crate::{Response, base64};

const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");

/// How answers are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// The function answers with `statusCode`, `headers` and `body`.
    pub(super) proxy_integration: bool,
    /// Where the function has failed.
    pub(super) unhandled: Option<StatusCode>,
    /// Empty lists in JSON become empty objects.
    pub(super) empty_lists_as_objects: bool,
}

/// Why an answer of a function makes no response.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unread {
    #[error("Lambda answered {0}: {1}")]
    Refused(StatusCode, String),
    #[error("the function's body is not the base64 that it is said to be")]
    Base64,
}

/// The response that a function's answer makes.
pub(super) fn read(answer: Answer, reading: Reading) -> Result<Response, Unread> {
    if answer.status.as_u16() >= 400 {
        return Err(Unread::Refused(answer.status, message(&answer.body)));
    }
    let is_json = is_json(&answer.headers);
    if reading.proxy_integration {
        let text = answer.body.clone();
        return match Said::read(&text, is_json) {
            Ok(said) => said.over(response(answer)),
            Err(problem) => Ok(bad_gateway(&problem)),
        };
    }
    let failed = answer.headers.get(FUNCTION_ERROR);
    let failed = failed.is_some_and(|error| error == "Unhandled");
    let mut response = response(answer);
    if let Some(status) = reading.unhandled.filter(|_| failed) {
        response.status = status;
    }
    if is_json && let Body::Bytes(body) = &mut response.body {
        if let Ok(Value::String(text)) = serde_json::from_slice(body) {
            // A text is answered as it is, without quotes.
            *body = Bytes::from(text);
        } else if reading.empty_lists_as_objects {
            *body = empty_lists_as_objects(body);
        }
    }
    Ok(response)
}

/// What AWS says is wrong.
fn message(body: &[u8]) -> String {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    let message = said.as_ref().and_then(|said| said.get("Message")?.as_str());
    message.unwrap_or("no reason given").to_owned()
}

fn is_json(headers: &http::HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    content_type.is_some_and(|text| {
        let text = text.to_ascii_lowercase();
        text.find("application/")
            .is_some_and(|at| text[at..].contains("json"))
    })
}

fn bad_gateway(problem: &str) -> Response {
    let told = json!({
        "message": "Bad Gateway",
        "error": format!("could not JSON decode Lambda function response: {problem}"),
    });
    let body = Body::Bytes(Bytes::from(told.to_string()));
    let mut response = Response::new(StatusCode::BAD_GATEWAY, body);
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers.insert(CONTENT_TYPE, json);
    response
}

/// What a function behind Amazon's API gateway says.
struct Said(Map<String, Value>);

impl Said {
    /// Reads it; the error is told to the client.
    fn read(body: &[u8], is_json: bool) -> Result<Self, String> {
        let invalid = |error: serde_json::Error| {
            format!(
                "Expected value but found invalid token at character {}",
                error.column().max(1)
            )
        };
        let mut said: Value = serde_json::from_slice(body).map_err(invalid)?;
        if is_json && let Value::String(inner) = &said {
            said = serde_json::from_str(inner).map_err(invalid)?;
        }
        let Value::Object(said) = said else {
            return Err("statusCode validation failed".to_owned());
        };
        let said = Self(said);
        said.check()?;
        Ok(said)
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.status().is_none() {
            return Err("statusCode validation failed");
        }
        if !matches!(
            self.0.get("headers"),
            None | Some(Value::Object(_) | Value::Array(_))
        ) {
            return Err("headers must be a table");
        }
        if !matches!(self.0.get("body"), None | Some(Value::String(_))) {
            return Err("body must be a string");
        }
        if !matches!(self.0.get("isBase64Encoded"), None | Some(Value::Bool(_))) {
            return Err("isBase64Encoded must be a boolean");
        }
        Ok(())
    }

    fn status(&self) -> Option<StatusCode> {
        let status = match self.0.get("statusCode")? {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        if !(100.0..=599.0).contains(&status) {
            return None;
        }
        StatusCode::from_u16(status as u16).ok()
    }

    /// Lays it over what AWS said around it.
    fn over(&self, mut response: Response) -> Result<Response, Unread> {
        response.status = self.status().unwrap_or(response.status);
        let body = self.0.get("body").and_then(Value::as_str);
        let body = body.unwrap_or_default();
        response.body = Body::Bytes(match self.0.get("isBase64Encoded") {
            Some(Value::Bool(true)) => base64::standard(body.as_bytes())
                .ok_or(Unread::Base64)?
                .into(),
            _ => Bytes::copy_from_slice(body.as_bytes()),
        });
        for members in ["headers", "multiValueHeaders"] {
            let Some(Value::Object(headers)) = self.0.get(members) else {
                continue;
            };
            for (name, value) in headers {
                set(&mut response, name, value);
            }
        }
        response.made_by = MadeBy::Function;
        Ok(response)
    }
}

/// Sets a header to a value, or to each of a list; what cannot stand in one is left out.
fn set(response: &mut Response, name: &str, value: &Value) {
    let Ok(name) = name.parse::<HeaderName>() else {
        tracing::warn!("the function answers with a header whose name is none");
        return;
    };
    // The body has its own length.
    if name == http::header::CONTENT_LENGTH || name == http::header::TRANSFER_ENCODING {
        return;
    }
    let values = match value {
        Value::Array(values) => values.as_slice(),
        value => std::slice::from_ref(value),
    };
    let mut values = values.iter().filter_map(header_value);
    if let Some(first) = values.next() {
        response.headers.insert(&name, first);
    }
    for value in values {
        response.headers.append(&name, value);
    }
}

fn header_value(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(written) => number(written.as_f64()?),
        Value::Bool(flag) => flag.to_string(),
        _ => return None,
    };
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

/// JSON with `{}` wherever it has `[]`; everything else stays byte for byte.
pub(super) fn empty_lists_as_objects(json: &[u8]) -> Bytes {
    let mut written = Vec::with_capacity(json.len());
    let mut in_text = false;
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => in_text = !in_text,
            b'\\' if in_text => {
                written.push(byte);
                at += 1;
                written.extend(json.get(at));
                at += 1;
                continue;
            }
            b'[' if !in_text => {
                let inside = &json[at + 1..];
                let blank = inside.iter().take_while(|byte| byte.is_ascii_whitespace());
                let end = at + 1 + blank.count();
                if json.get(end) == Some(&b']') {
                    written.extend_from_slice(b"{}");
                    at = end + 1;
                    continue;
                }
            }
            _ => {}
        }
        written.push(byte);
        at += 1;
    }
    written.into()
}
