//! A cloud that runs functions, played: it answers those who prove who they are, by what AWS and
//! Azure publish, written down here apart from the gateway.

use std::net::SocketAddr;

use aws_lc_rs::{digest, hmac};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The region of its functions.
pub const REGION: &str = "eu-central-1";
/// Whoever signs with this may call functions of AWS, and take the role.
pub const KEY: (&str, &str) = ("AKIDEXAMPLE", "wJalrXUtnFEMI-K7MDENG+bPxRfiCYEXAMPLEKEY");
/// The role.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/caller";
/// Who brings this, may call functions of Azure.
pub const FUNCTION_KEY: &str = "function-key-of-azure";
/// Who takes the role signs with this, and shows the token.
const SESSION: (&str, &str) = ("ASIAEXAMPLE", "session-secret");
const TOKEN: &str = "session-token";

/// The cloud; it ends with the test.
pub struct Cloud {
    /// Where functions are called, and roles are taken.
    pub address: SocketAddr,
}

impl Cloud {
    /// Starts on a free port of the current runtime.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind the cloud");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let app = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address }
    }
}

async fn answer(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let call = Call {
        method,
        uri,
        headers,
        body,
    };
    let answered = match call.uri.path() {
        "/" => call.role(),
        path if path.starts_with("/2015-03-31/functions/") => call.of_aws(),
        _ => call.of_azure(),
    };
    answered.unwrap_or_else(|why| (StatusCode::FORBIDDEN, why).into_response())
}

struct Call {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// A function of AWS: says what it was called with.
    fn of_aws(&self) -> Result<Response, String> {
        let key = self.signed_for("lambda")?;
        let event: Value = serde_json::from_slice(&self.body).map_err(|error| error.to_string())?;
        let told = json!({
            "path": self.uri.path(),
            "query": self.uri.query(),
            "invocation": self.header("x-amz-invocation-type"),
            "key": key,
            "event": event,
        });
        Ok(told.to_string().into_response())
    }

    /// Gives those who may take the role what it signs with.
    fn role(&self) -> Result<Response, String> {
        let key = self.signed_for("sts")?;
        let asked: Vec<(String, String)> =
            form_urlencoded::parse(&self.body).into_owned().collect();
        let is = |name: &str, value: &str| {
            let mut asked = asked.iter();
            asked.any(|(other, given)| other == name && given == value)
        };
        if key != KEY.0 || !is("Action", "AssumeRole") || !is("RoleArn", ROLE) {
            return Err(format!("{key} asks for {asked:?}"));
        }
        let (id, secret) = SESSION;
        Ok(format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleResult><Credentials><AccessKeyId>{id}</AccessKeyId>\
             <SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{TOKEN}</SessionToken>\
             <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>\
             </AssumeRoleResponse>"
        )
        .into_response())
    }

    /// A function of Azure: says what it was called with.
    fn of_azure(&self) -> Result<Response, String> {
        if self.header("x-functions-key") != FUNCTION_KEY {
            return Ok(StatusCode::UNAUTHORIZED.into_response());
        }
        let told = json!({
            "method": self.method.as_str(),
            "path": self.uri.path(),
            "query": self.uri.query(),
            "client": self.header("x-functions-clientid"),
            "body": String::from_utf8_lossy(&self.body),
        });
        Ok((StatusCode::ACCEPTED, told.to_string()).into_response())
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Whose signature (version 4) for a service the call has.
    fn signed_for(&self, service: &str) -> Result<&str, String> {
        let authorization = self.header("authorization");
        let parts = authorization.strip_prefix("AWS4-HMAC-SHA256 ");
        let parts = parts.ok_or("there is no signature")?;
        let part = |name: &str| {
            let mut parts = parts.split(',').map(str::trim);
            let found = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            found.ok_or(format!("{name} is missing in {authorization}"))
        };
        let (key, scope) = part("Credential")?
            .split_once('/')
            .ok_or("there is no scope")?;
        let secret = match key {
            id if id == KEY.0 => KEY.1,
            id if id == SESSION.0 && self.header("x-amz-security-token") == TOKEN => SESSION.1,
            _ => return Err(format!("nobody has the key {key}")),
        };
        let at = self.header("x-amz-date");
        let day = at.get(..8).ok_or("there is no date")?;
        let expected = format!("{day}/{REGION}/{service}/aws4_request");
        if scope != expected {
            return Err(format!("{scope} is not {expected}"));
        }
        let request = self.canonical(part("SignedHeaders")?)?;
        let text = format!(
            "AWS4-HMAC-SHA256\n{at}\n{scope}\n{}",
            sha256(request.as_bytes())
        );
        let mut signed_by = format!("AWS4{secret}").into_bytes();
        for word in [day, REGION, service, "aws4_request", &text] {
            signed_by = hmac_sha256(&signed_by, word.as_bytes());
        }
        match part("Signature")? == hex(&signed_by) {
            true => Ok(key),
            false => Err(format!("the signature is wrong for {request}")),
        }
    }

    /// The request in the form that is signed.
    fn canonical(&self, signed: &str) -> Result<String, String> {
        let names: Vec<&str> = signed.split(';').collect();
        for needed in ["host", "x-amz-date"] {
            if !names.contains(&needed) {
                return Err(format!("{needed} is not signed"));
            }
        }
        let token = "x-amz-security-token";
        if self.headers.contains_key(token) && !names.contains(&token) {
            return Err("the token is not signed".to_owned());
        }
        let headers = names
            .iter()
            .map(|name| format!("{name}:{}\n", self.header(name).trim()));
        let mut query: Vec<&str> = self.uri.query().unwrap_or_default().split('&').collect();
        query.sort_unstable();
        Ok(format!(
            "{}\n{}\n{}\n{}\n{signed}\n{}",
            self.method,
            encoded(self.uri.path()),
            query.join("&"),
            headers.collect::<String>(),
            sha256(&self.body),
        ))
    }
}

/// A path as it is signed: what is encoded already is encoded once more.
fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let bytes = path.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    bytes.collect()
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text).as_ref().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
