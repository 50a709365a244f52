//! Bearer tokens that are fetched over HTTP and used until shortly before they expire.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use object_store::CredentialProvider;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::object::NoCredentials;
use super::{ErrorKind, web};

/// Largest answer of a token endpoint, in bytes.
const ANSWER_LIMIT: u64 = 64 << 10;

/// A token is renewed when it is good for less than this, or for half of its time.
const RENEWAL: Duration = Duration::from_secs(300);

/// No token is believed to be good for longer.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// After a renewal failed, a token that is still good is used this long before the next one.
const PATIENCE: Duration = Duration::from_secs(10);

/// A fetch that took so long and failed is not tried again for [`PAUSE`].
const SLOW: Duration = Duration::from_millis(500);

const PAUSE: Duration = Duration::from_secs(2);

/// A token as it was given; never shown. Most are texts that a request bears.
pub(super) struct Token<T = String> {
    pub(super) bearer: T,
    /// How long it is good from now on.
    pub(super) lasts: Duration,
}

/// Where tokens come from.
pub(super) trait TokenSource<T = String>: fmt::Debug + Send + Sync + 'static {
    /// For messages: "the metadata server at …".
    fn name(&self) -> String;

    /// Asks for a fresh token.
    fn fetch(&self) -> BoxFuture<'_, Result<Token<T>, NoCredentials>>;
}

/// The credentials of a storage whose requests carry a bearer token.
pub(super) struct Tokens<C, T = String> {
    source: Box<dyn TokenSource<T>>,
    credential: fn(T) -> C,
    time_out: Duration,
    /// Held while a token is fetched, so that it is fetched once however many ask.
    state: Mutex<State<C>>,
}

struct State<C> {
    held: Option<Held<C>>,
    /// Why there is no token, and until when that is not asked again: many that need one would
    /// each wait for a source that is not there.
    lacking: Option<(Instant, NoCredentials)>,
}

struct Held<C> {
    credential: Arc<C>,
    renew: Instant,
    expires: Instant,
}

impl<C, T: 'static> Tokens<C, T> {
    /// `time_out` bounds one fetch; it should leave time for the request that needs the token.
    pub(super) fn new(
        source: Box<dyn TokenSource<T>>,
        credential: fn(T) -> C,
        time_out: Duration,
    ) -> Self {
        Self {
            source,
            credential,
            time_out,
            state: Mutex::new(State {
                held: None,
                lacking: None,
            }),
        }
    }

    async fn current(&self) -> Result<Arc<C>, NoCredentials> {
        let mut state = self.state.lock().await;
        let State { held, lacking } = &mut *state;
        let asked = Instant::now();
        if let Some(token) = held
            && asked < token.renew
        {
            return Ok(Arc::clone(&token.credential));
        }
        if let Some((until, error)) = lacking
            && asked < *until
        {
            return Err(error.clone());
        }
        let fetched = tokio::time::timeout(self.time_out, self.source.fetch()).await;
        let fetched = fetched.unwrap_or_else(|_| {
            Err(NoCredentials {
                kind: ErrorKind::TimedOut,
                detail: format!(
                    "no token: {} did not answer within {:?}",
                    self.source.name(),
                    self.time_out
                ),
            })
        });
        let now = Instant::now();
        match (fetched, &mut *held) {
            (Ok(token), _) => {
                *lacking = None;
                let credential = Arc::new((self.credential)(token.bearer));
                let lasts = token.lasts.min(LONGEST);
                *held = Some(Held {
                    credential: Arc::clone(&credential),
                    renew: now + lasts - RENEWAL.min(lasts / 2),
                    expires: now + lasts,
                });
                Ok(credential)
            }
            (Err(_), Some(old)) if now < old.expires => {
                old.renew = now + PATIENCE;
                Ok(Arc::clone(&old.credential))
            }
            (Err(error), _) => {
                *lacking = (now - asked >= SLOW).then(|| (now + PAUSE, error.clone()));
                Err(error)
            }
        }
    }
}

impl<C, T: 'static> fmt::Debug for Tokens<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl<C: Send + Sync + 'static, T: 'static> CredentialProvider for Tokens<C, T> {
    type Credential = C;

    fn get_credential<'s, 'a>(&'s self) -> BoxFuture<'a, object_store::Result<Arc<C>>>
    where
        's: 'a,
        Self: 'a,
    {
        Box::pin(async move { self.current().await.map_err(object_store::Error::from) })
    }
}

/// A request for a token with a form as its body.
pub(super) fn form_request(web: &Client, url: &Url, form: &[(&str, &str)]) -> RequestBuilder {
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    web.post(url.clone())
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "application/json")
        .body(body)
}

/// Sends a request for a token and reads the JSON of the answer. `secrets` is what was sent: a text
/// of the server that repeats one of them is not told.
pub(super) async fn ask<T: DeserializeOwned>(
    request: RequestBuilder,
    whom: &str,
    secrets: &[&str],
) -> Result<T, NoCredentials> {
    let broken = |error| {
        let (kind, cause) = web::meaning(error);
        NoCredentials {
            kind,
            detail: format!("no token: {whom} could not be asked: {cause}"),
        }
    };
    let response = request.send().await.map_err(broken)?;
    let status = response.status();
    let answer = web::body(response, ANSWER_LIMIT).await.map_err(broken)?;
    let answer = answer.unwrap_or_default();
    if status.is_success() {
        // What was answered may be half a token: it is not repeated.
        return serde_json::from_slice(&answer).map_err(|_| NoCredentials {
            kind: ErrorKind::Unavailable,
            detail: format!("no token: {whom} answered something else"),
        });
    }
    let said = reason(&answer)
        .filter(|said| secrets.iter().all(|secret| !said.contains(secret)))
        .unwrap_or_else(|| format!("status {}", status.as_u16()));
    Err(NoCredentials {
        kind: match status {
            StatusCode::TOO_MANY_REQUESTS => ErrorKind::Throttled,
            status if status.is_client_error() => ErrorKind::Denied,
            _ => ErrorKind::Unavailable,
        },
        detail: format!("no token: {whom} refused: {said}"),
    })
}

/// What an error document of OAuth, or of Google's interfaces, says in its first line.
fn reason(answer: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(answer).ok()?;
    let error = document.get("error")?;
    let (code, text) = match error {
        Value::String(code) => (code.as_str(), document.get("error_description")),
        Value::Object(error) => (error.get("status")?.as_str()?, error.get("message")),
        _ => return None,
    };
    let text = text
        .and_then(Value::as_str)
        .and_then(|text| text.lines().next());
    let mut said = match text {
        Some(text) => format!("{code}: {text}"),
        None => code.to_owned(),
    };
    said.truncate(said.floor_char_boundary(200));
    Some(said)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Gives tokens that are good for `lasts`, as long as there are any.
    #[derive(Debug)]
    struct Source {
        lasts: Duration,
        given: AtomicU32,
        most: u32,
    }

    impl TokenSource for Arc<Source> {
        fn name(&self) -> String {
            "the test".into()
        }

        fn fetch(&self) -> BoxFuture<'_, Result<Token, NoCredentials>> {
            Box::pin(async {
                let number = self.given.fetch_add(1, Ordering::Relaxed);
                if number == u32::MAX {
                    std::future::pending::<()>().await;
                }
                if number >= self.most {
                    return Err(NoCredentials {
                        kind: ErrorKind::Denied,
                        detail: "none left".into(),
                    });
                }
                Ok(Token {
                    bearer: number.to_string(),
                    lasts: self.lasts,
                })
            })
        }
    }

    fn tokens(lasts: u64, most: u32) -> (Tokens<String>, Arc<Source>) {
        let source = Arc::new(Source {
            lasts: Duration::from_secs(lasts),
            given: AtomicU32::new(0),
            most,
        });
        let tokens = Tokens::new(
            Box::new(Arc::clone(&source)),
            |bearer| bearer,
            Duration::from_secs(5),
        );
        (tokens, source)
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_used_until_shortly_before_it_expires() {
        let (tokens, _) = tokens(3600, 9);
        assert_eq!(*tokens.current().await.unwrap(), "0");
        tokio::time::advance(Duration::from_secs(3299)).await;
        assert_eq!(*tokens.current().await.unwrap(), "0");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(*tokens.current().await.unwrap(), "1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_given_late_in_its_life_is_used_for_half_of_the_rest() {
        let (tokens, _) = tokens(60, 9);
        assert_eq!(*tokens.current().await.unwrap(), "0");
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(*tokens.current().await.unwrap(), "0");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(*tokens.current().await.unwrap(), "1");
    }

    #[tokio::test(start_paused = true)]
    async fn while_no_new_token_can_be_had_the_old_one_is_used_to_its_end() {
        let (tokens, source) = tokens(3600, 1);
        assert_eq!(*tokens.current().await.unwrap(), "0");
        tokio::time::advance(Duration::from_secs(3400)).await;
        for _ in 0..5 {
            assert_eq!(*tokens.current().await.unwrap(), "0");
        }
        // One renewal was tried, not one for each request.
        assert_eq!(source.given.load(Ordering::Relaxed), 2);
        tokio::time::advance(Duration::from_secs(201)).await;
        assert_eq!(tokens.current().await.unwrap_err().kind, ErrorKind::Denied);
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_ask_at_once_cause_one_fetch() {
        let (tokens, source) = tokens(3600, 9);
        let all = futures_util::future::join_all((0..8).map(|_| tokens.current())).await;
        assert!(all.into_iter().all(|token| *token.unwrap() == "0"));
        assert_eq!(source.given.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_never_answers_is_given_up() {
        let (tokens, source) = tokens(3600, 9);
        source.given.store(u32::MAX, Ordering::Relaxed);
        let error = tokens.current().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TimedOut);
        assert!(error.detail.contains("the test"), "{}", error.detail);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_said_to_be_good_for_ever_is_used() {
        let (tokens, _) = tokens(u64::MAX, 9);
        assert_eq!(*tokens.current().await.unwrap(), "0");
        assert_eq!(*tokens.current().await.unwrap(), "0");
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_find_no_token_do_not_all_wait_for_it() {
        let (tokens, source) = tokens(3600, 9);
        source.given.store(u32::MAX, Ordering::Relaxed);
        assert!(tokens.current().await.is_err());
        for _ in 0..5 {
            assert!(tokens.current().await.is_err());
        }
        assert_eq!(source.given.load(Ordering::Relaxed), 0);
        tokio::time::advance(PAUSE).await;
        assert_eq!(*tokens.current().await.unwrap(), "0");
    }

    #[test]
    fn error_documents_are_told_in_one_line() {
        for (document, said) in [
            (
                r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid.\r\nTrace"}"#,
                Some("invalid_client: AADSTS7000215: Invalid."),
            ),
            (r#"{"error":"invalid_grant"}"#, Some("invalid_grant")),
            (
                r#"{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}"#,
                Some("PERMISSION_DENIED: no"),
            ),
            ("<html>", None),
            ("{}", None),
        ] {
            assert_eq!(reason(document.as_bytes()).as_deref(), said, "{document}");
        }
    }
}
