//! Errors as clients see them: JSON, HTML, XML or plain text, after what they accept.

mod template;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, StatusCode, Version};
use keelgate_plugins::HeaderMap;

pub use template::{ErrorTemplate, ErrorTemplates, TooManyPlaces};

use crate::settings::Settings;

/// A body and its content type.
pub(crate) struct Page {
    /// None for gRPC clients, who are told in other headers.
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) body: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Nothing: gRPC clients are told in other headers.
    Grpc,
    Json,
    Html,
    Xml,
    Plain,
}

impl Form {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Grpc => "",
            Self::Json => "application/json; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
            Self::Xml => "application/xml; charset=utf-8",
            Self::Plain => "text/plain; charset=utf-8",
        })
    }

    fn render(self, message: &str, request_id: &str) -> String {
        match self {
            Self::Grpc => String::new(),
            Self::Json => {
                let message = serde_json::Value::from(message);
                format!("{{\n  \"message\":{message},\n  \"request_id\":\"{request_id}\"\n}}")
            }
            Self::Html => format!(
                "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    \
                 <title>Error</title>\n  </head>\n  <body>\n    <h1>Error</h1>\n    \
                 <p>{message}.</p>\n    <p>request_id: {request_id}</p>\n  </body>\n</html>\n"
            ),
            Self::Xml => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  \
                 <message>{message}</message>\n  <requestid>{request_id}</requestid>\n</error>\n"
            ),
            Self::Plain => format!("{message}\nrequest_id: {request_id}\n"),
        }
    }

    /// As the node's own template has it, where there is one.
    fn templated(
        self,
        templates: &ErrorTemplates,
        message: &str,
        request_id: &str,
    ) -> Option<String> {
        let template = match self {
            Self::Grpc => None,
            Self::Json => templates.json.as_ref(),
            Self::Html => templates.html.as_ref(),
            Self::Xml => templates.xml.as_ref(),
            Self::Plain => templates.plain.as_ref(),
        }?;
        Some(match self {
            // The template has the quotes.
            Self::Json => {
                let quoted = serde_json::Value::from(message).to_string();
                template.render(&quoted[1..quoted.len() - 1], request_id)
            }
            _ => template.render(message, request_id),
        })
    }

    fn page(self, message: &str, request_id: &str, settings: &Settings) -> Page {
        let body = self
            .templated(&settings.error_templates, message, request_id)
            .unwrap_or_else(|| self.render(message, request_id));
        Page {
            content_type: Some(self.content_type()),
            body: body.into(),
        }
    }
}

/// The page for an error that the gateway or a plugin decided on: after `Accept`, else JSON.
pub(crate) fn decided(
    headers: &HeaderMap,
    version: Version,
    message: &str,
    request_id: &str,
    settings: &Settings,
) -> Page {
    if version == Version::HTTP_2 && is_grpc(headers.get(CONTENT_TYPE)) {
        return Page {
            content_type: Some(HeaderValue::from_static("application/grpc")),
            body: Bytes::new(),
        };
    }
    let form = headers
        .get(ACCEPT)
        .map_or(Form::Json, |_| accepted(headers));
    form.page(message, request_id, settings)
}

/// The page for an error of the exchange itself (a bad request, a failed upstream): after
/// `Accept`, else `Content-Type`, else as the settings say.
pub(crate) fn failed(
    headers: &HeaderMap,
    status: StatusCode,
    request_id: &str,
    settings: &Settings,
) -> Page {
    failed_with(headers, &message(status), request_id, settings)
}

/// The same with another message.
pub(crate) fn failed_with(
    headers: &HeaderMap,
    message: &str,
    request_id: &str,
    settings: &Settings,
) -> Page {
    let asked = headers.get(ACCEPT).or_else(|| headers.get(CONTENT_TYPE));
    if is_grpc(asked) {
        return Page {
            content_type: Some(Form::Json.content_type()),
            body: format!("{{\"message\":\"{message}\"}}").into(),
        };
    }
    let form = if headers.contains_key(ACCEPT) {
        accepted(headers)
    } else {
        match asked {
            Some(value) => form_of([value.to_str().unwrap_or("")].into_iter()),
            None => form_of([settings.error_default_type.as_str()].into_iter()),
        }
    };
    form.page(message, request_id, settings)
}

/// `{"message": …}`, with the request's id where it is given.
pub(crate) fn json(message: &str, request_id: Option<&str>) -> Page {
    let mut body = serde_json::Map::new();
    body.insert("message".to_owned(), message.into());
    if let Some(id) = request_id {
        body.insert("request_id".to_owned(), id.into());
    }
    Page {
        content_type: Some(Form::Json.content_type()),
        body: serde_json::Value::from(body).to_string().into(),
    }
}

/// The bare page of an error that is not worth a form: an unknown version or transfer coding.
pub(crate) fn bare(title: &str) -> Page {
    Page {
        content_type: Some(HeaderValue::from_static("text/html; charset=UTF-8")),
        body: format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1>\
             </center>\r\n</body>\r\n</html>\r\n"
        )
        .into(),
    }
}

/// The page of a redirect.
pub(crate) fn redirect(status: StatusCode) -> Page {
    let title = format!(
        "{} {}",
        status.as_str(),
        status.canonical_reason().unwrap_or("")
    );
    Page {
        content_type: Some(HeaderValue::from_static("text/html")),
        ..bare(&title)
    }
}

/// The page for plain HTTP on a port for TLS.
pub(crate) fn plain_on_tls() -> Page {
    const SAID: &str = "The plain HTTP request was sent to HTTPS port";
    Page {
        content_type: Some(HeaderValue::from_static("text/html; charset=UTF-8")),
        body: format!(
            "<html>\r\n<head><title>400 {SAID}</title></head>\r\n<body>\r\n<center><h1>400 Bad \
             Request</h1></center>\r\n<center>{SAID}</center>\r\n</body>\r\n</html>\r\n"
        )
        .into(),
    }
}

/// What is said about a status.
pub(crate) fn message(status: StatusCode) -> String {
    match status.as_u16() {
        400 => "Bad request",
        404 => "Not found",
        405 => "Method not allowed",
        408 => "Request timeout",
        411 => "Length required",
        412 => "Precondition failed",
        413 => "Payload too large",
        414 => "URI too long",
        417 => "Expectation failed",
        500 => "An unexpected error occurred",
        502 => "An invalid response was received from the upstream server",
        503 => "The upstream server is currently unavailable",
        504 => "The upstream server is timing out",
        other => return format!("The upstream server responded with {other}"),
    }
    .to_owned()
}

pub(crate) fn is_grpc(value: Option<&HeaderValue>) -> bool {
    value.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn accepted(headers: &HeaderMap) -> Form {
    form_of(
        headers
            .get_all(ACCEPT)
            .iter()
            .map(|value| value.to_str().unwrap_or("")),
    )
}

/// The form of the acceptable type with the greatest quality; of equals, the first.
fn form_of<'a>(lists: impl Iterator<Item = &'a str>) -> Form {
    let mut best = (0.0, Form::Json);
    for range in lists.flat_map(|list| list.split(',')) {
        let mut parts = range.trim().split(';');
        let kind = parts.next().unwrap_or("").trim_end();
        let Some((left, right)) = kind.split_once('/') else {
            continue;
        };
        if left.is_empty() || right.is_empty() {
            continue;
        }
        let quality = parts
            .filter_map(|part| part.trim().strip_prefix("q="))
            .next_back()
            .and_then(|quality| quality.trim().parse::<f64>().ok())
            .unwrap_or(1.0);
        if quality > best.0 {
            // Types are compared as written; anything unknown is answered in JSON.
            let form = match kind {
                "text/html" => Form::Html,
                "text/plain" | "text/*" => Form::Plain,
                "application/xml" => Form::Xml,
                "application/grpc" => Form::Grpc,
                _ => Form::Json,
            };
            best = (quality, form);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str) -> Form {
        form_of([accept].into_iter())
    }

    #[test]
    fn the_form_follows_quality_then_order() {
        assert_eq!(form("text/html, application/json"), Form::Html);
        assert_eq!(form("application/json;q=0.5, text/html;q=0.9"), Form::Html);
        assert_eq!(form("application/xml;q=0.9,application/json"), Form::Json);
        assert_eq!(
            form("application/xhtml+xml,text/html;q=0.9,*/*;q=0.8"),
            Form::Json
        );
        assert_eq!(form("text/*"), Form::Plain);
        assert_eq!(form("application/xml"), Form::Xml);
    }

    #[test]
    fn what_is_not_understood_is_json() {
        for accept in [
            "",
            "garbage",
            "TEXT/HTML",
            "text/html;q=0",
            "text/xml",
            "image/png",
        ] {
            assert_eq!(form(accept), Form::Json, "{accept}");
        }
    }

    #[test]
    fn failures_default_to_plain_text_and_decisions_to_json() {
        let none = HeaderMap::new();
        let settings = Settings::default();
        let failed = failed(&none, StatusCode::BAD_GATEWAY, "id", &settings);
        assert_eq!(
            failed.body,
            "An invalid response was received from the upstream server\nrequest_id: id\n"
        );
        let decided = decided(
            &none,
            Version::HTTP_11,
            "no Route matched with those values",
            "id",
            &settings,
        );
        assert_eq!(
            decided.content_type.unwrap(),
            "application/json; charset=utf-8"
        );
        assert_eq!(
            decided.body,
            "{\n  \"message\":\"no Route matched with those values\",\n  \"request_id\":\"id\"\n}"
        );
    }

    #[test]
    fn templates_take_the_place_of_the_usual_pages() {
        let settings = Settings {
            error_templates: ErrorTemplates {
                json: ErrorTemplate::parse("{\"error\":\"%s\",\"id\":\"%s\"}").ok(),
                ..ErrorTemplates::default()
            },
            ..Settings::default()
        };
        let page = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            failed_with(&headers, "say \"no\"", "id", &settings)
        };
        assert_eq!(
            page("application/json").body,
            "{\"error\":\"say \\\"no\\\"\",\"id\":\"id\"}"
        );
        assert!(page("text/html").body.starts_with(b"<!doctype html>"));
    }
}
