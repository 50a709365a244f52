//! Credentials that may do some things below one prefix and nothing else.

use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpRequest, HttpRequestBody};
use serde_json::{Value, json};

use super::{REGION, Server};

/// What a holder of credentials may do below a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// Read objects: what `keelgate fallback doctor` asks of a reader.
    Reader,
    /// Read, write and list objects, delete none: what it asks of a writer.
    Writer,
    /// Read and write objects, and list none.
    BlindWriter,
    /// Nothing below this prefix.
    Stranger,
}

impl Permissions {
    fn policy(self, bucket: &str, prefix: &str) -> Value {
        let objects = format!("arn:aws:s3:::{bucket}/{prefix}/*");
        let statements = match self {
            Self::Reader => json!([
                {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [objects]},
            ]),
            Self::Writer => json!([
                {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": [objects]},
                {
                    "Effect": "Allow", "Action": ["s3:ListBucket"],
                    "Resource": [format!("arn:aws:s3:::{bucket}")],
                    "Condition": {"StringLike": {"s3:prefix": [format!("{prefix}/*")]}},
                },
            ]),
            Self::BlindWriter => json!([
                {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": [objects]},
            ]),
            Self::Stranger => json!([
                {
                    "Effect": "Allow", "Action": ["s3:GetObject"],
                    "Resource": [format!("arn:aws:s3:::{bucket}/elsewhere/*")],
                },
            ]),
        };
        json!({"Version": "2012-10-17", "Statement": statements})
    }

    /// Asks the server for temporary credentials with these permissions, by AssumeRole; returns them
    /// as the variables of the environment that a node reads.
    pub async fn granted(self, server: &Server, prefix: &str) -> Vec<(String, String)> {
        let policy = self.policy(&server.bucket, prefix).to_string();
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "AssumeRole")
            .append_pair("Version", "2011-06-15")
            .append_pair("DurationSeconds", "3600")
            .append_pair("Policy", &policy)
            .finish();
        let url = format!("{}/", server.endpoint);
        let mut request = HttpRequest::new(HttpRequestBody::from(form.clone()));
        *request.method_mut() = axum::http::Method::POST;
        *request.uri_mut() = url.parse().expect("the server's address is a URL");
        request.headers_mut().insert(
            "content-type",
            axum::http::HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        AwsAuthorizer::new(&server.credential(), "sts", REGION)
            .try_authorize(&mut request, None)
            .expect("a body in memory can be signed");
        let answer = reqwest::Client::new()
            .post(url)
            .headers(request.headers().clone())
            .body(form)
            .send()
            .await
            .expect("ask for credentials");
        let status = answer.status();
        let text = answer.text().await.expect("read the credentials");
        assert!(
            status.is_success(),
            "the S3 server gives no temporary credentials; these tests need MinIO: {status} {text}"
        );
        let member = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>")).unwrap_or_default();
            let (value, _) = rest.split_once("</").unwrap_or_default();
            assert!(!value.is_empty(), "no {name} in {text}");
            value.to_owned()
        };
        vec![
            ("AWS_ACCESS_KEY_ID".into(), member("AccessKeyId")),
            ("AWS_SECRET_ACCESS_KEY".into(), member("SecretAccessKey")),
            ("AWS_SESSION_TOKEN".into(), member("SessionToken")),
        ]
    }
}
