//! What a server answered, beyond what `object_store` tells: status, error code, `Retry-After`; and
//! a bound on how much of an answer is read.
//!
//! `object_store` reads error documents and lists whole, however long they are, and forgets the
//! headers of failures. Its HTTP client can be replaced, so that both are mended below it. What was
//! answered travels beside the operation in a task-local, since lists and deletes pass nothing
//! through to their requests.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use object_store::Result;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService, ReqwestConnector,
};

/// Largest error document that is read.
const ERROR_LIMIT: usize = 64 << 10;

/// A server that asks for more patience than this is not believed.
const MOST_PATIENCE: Duration = Duration::from_secs(300);

/// What the server said when it did not do what was asked.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

struct Exchange {
    limit: usize,
    refused: RefCell<Option<Refused>>,
}

tokio::task_local! {
    static EXCHANGE: Exchange;
}

/// Does one operation; answers of more than `limit` bytes fail, and what the server refused last is
/// told beside a failure.
pub(super) async fn watched<T, E>(
    limit: u64,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, (E, Option<Refused>)> {
    let exchange = Exchange {
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        refused: RefCell::new(None),
    };
    let watched = async {
        let result = work.await;
        result.map_err(|error| (error, EXCHANGE.with(|exchange| exchange.refused.take())))
    };
    EXCHANGE.scope(exchange, watched).await
}

/// Makes clients that watch their answers.
#[derive(Debug, Default)]
pub(in crate::storage) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Watching(client)))
    }
}

#[derive(Debug)]
struct Watching(HttpClient);

impl HttpService for Watching {
    fn call<'s, 'a>(
        &'s self,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<HttpResponse, HttpError>>
    where
        's: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            let (parts, body) = self.0.execute(request).await?.into_parts();
            if parts.status.is_success() {
                let limit = EXCHANGE.try_with(|exchange| exchange.limit);
                let body = Limited::new(body, limit.unwrap_or(ERROR_LIMIT))
                    .map_err(|error| HttpError::new_boxed(HttpErrorKind::Decode, error));
                return Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)));
            }
            let document = Limited::new(body, ERROR_LIMIT).collect().await;
            // What cannot be read is as good as nothing said: the status tells enough.
            let document = document.map(|read| read.to_bytes()).unwrap_or_default();
            let refused = refused(parts.status, &parts.headers, &document);
            let _ = EXCHANGE.try_with(|exchange| exchange.refused.replace(Some(refused)));
            let body = Full::new(document).map_err(|never| match never {});
            Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
        })
    }
}

fn refused(status: StatusCode, headers: &HeaderMap, document: &Bytes) -> Refused {
    let document = String::from_utf8_lossy(document);
    Refused {
        status,
        code: element(&document, "Code"),
        message: element(&document, "Message"),
        retry_after: headers
            .get(header::RETRY_AFTER)
            .and_then(|value| retry_after(value.to_str().ok()?, SystemTime::now())),
    }
}

/// Reads `Retry-After`: seconds, or a time.
pub(in crate::storage) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let asked = match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = httpdate::parse_http_date(text).ok()?;
            until.duration_since(now).unwrap_or_default()
        }
    };
    Some(asked.min(MOST_PATIENCE))
}

/// One element of an error document. Only codes and messages are repeated of those, since some
/// servers echo what was signed.
fn element(document: &str, name: &str) -> Option<String> {
    let rest = document.split_once(&format!("<{name}>"))?.1;
    rest.split_once(&format!("</{name}>"))
        .map(|(content, _)| content)
        .filter(|content| !content.is_empty() && content.len() <= 200)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_that_a_server_asks_for_is_read_and_bounded() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let later = httpdate::fmt_http_date(now + Duration::from_secs(7));
        let earlier = httpdate::fmt_http_date(now - Duration::from_secs(7));
        for (text, seconds) in [
            ("3", Some(3)),
            (" 0 ", Some(0)),
            (&later, Some(7)),
            (&earlier, Some(0)),
            ("999999999", Some(300)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let asked = retry_after(text, now);
            assert_eq!(asked, seconds.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn an_error_document_gives_its_code_and_message_and_nothing_else() {
        let document = Bytes::from_static(
            b"<Error><Code>AccessDenied</Code><Message>No.</Message><StringToSign>s3cret</StringToSign></Error>",
        );
        let refused = refused(StatusCode::FORBIDDEN, &HeaderMap::new(), &document);
        assert_eq!(refused.code.as_deref(), Some("AccessDenied"));
        assert_eq!(refused.message.as_deref(), Some("No."));
    }
}
