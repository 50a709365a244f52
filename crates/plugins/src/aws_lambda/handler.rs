//! How `aws-lambda` calls functions.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use keelgate_entities::kinds;
use object_store::aws::AwsCredential;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::Mutex;
use url::Url;

use super::answer::{self, Reading};
use super::config::{Config, NAME, PassedOn};
use super::credentials::{Credentials, NodeCredentials, Role};
use super::payload;
use super::signature::signed;
use crate::error::Reason;
use crate::function::client::{Client, Terms};
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Phases, Plugin, Response, function, setting};

/// What stands for itself in a path or query, besides letters and digits.
const IN_PATH: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A compiled `aws-lambda`.
pub(crate) struct AwsLambda {
    client: Arc<Client>,
    function: Result<Function, &'static str>,
    passed_on: PassedOn,
    reading: Reading,
}

/// A function, and how it is called.
struct Function {
    url: Url,
    region: String,
    credentials: Credentials,
    headers: HeaderMap,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let proxy = config.proxy_url.as_deref().map(|url| {
        let url = Url::parse(url).map_err(|problem| Reason::setting("proxy_url", problem))?;
        match url.scheme() {
            "http" => Ok(url),
            _ => Err(Reason::setting(
                "proxy_url",
                "proxy_url scheme must be http",
            )),
        }
    });
    let terms = Terms {
        timeout: setting::milliseconds("timeout", config.timeout)?,
        keepalive: setting::milliseconds("keepalive", config.keepalive)?,
        verify: true,
        proxy: proxy.transpose()?,
    };
    let unhandled = config.unhandled_status;
    let unhandled = unhandled.map(|status| setting::status("unhandled_status", status));
    Ok(Arc::new(AwsLambda {
        client: node.functions.client(terms, node),
        function: function(&config)?,
        passed_on: config.passed_on,
        reading: Reading {
            proxy_integration: config.is_proxy_integration == Some(true),
            unhandled: unhandled.transpose()?,
            empty_lists_as_objects: config.empty_arrays_mode == "legacy",
        },
    }))
}

/// The function; what only this node lacks is told when it is called.
fn function(config: &Config) -> Result<Result<Function, &'static str>, Reason> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let region = config
        .aws_region
        .clone()
        .or_else(|| variable("AWS_REGION"))
        .or_else(|| variable("AWS_DEFAULT_REGION"));
    let Some(region) = region else {
        return Ok(Err("no region specified; set aws_region"));
    };
    let Some(name) = &config.function_name else {
        return Ok(Err("no function specified; set function_name"));
    };
    let default_host = || format!("lambda.{region}.amazonaws.com");
    let host = config.host.clone().unwrap_or_else(default_host);
    let scheme = match config.disable_https {
        Some(true) => "http",
        _ => "https",
    };
    let port = config.port.unwrap_or(443);
    let name = utf8_percent_encode(name, IN_PATH);
    let url = format!("{scheme}://{host}:{port}/2015-03-31/functions/{name}/invocations");
    let mut url = Url::parse(&url).map_err(|problem| Reason::setting("host", problem))?;
    if let Some(qualifier) = &config.qualifier {
        let qualifier = utf8_percent_encode(qualifier, IN_PATH);
        url.set_query(Some(&format!("Qualifier={qualifier}")));
    }
    let header = |field, text: &str| setting::header_value(field, text);
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (
            HeaderName::from_static("x-amz-invocation-type"),
            header("invocation_type", &config.invocation_type)?,
        ),
        (
            HeaderName::from_static("x-amz-log-type"),
            header("log_type", &config.log_type)?,
        ),
    ]);
    Ok(Ok(Function {
        credentials: credentials(config, &region)?,
        url,
        region,
        headers,
    }))
}

fn credentials(config: &Config, region: &str) -> Result<Credentials, Reason> {
    let own = match (&config.aws_key, &config.aws_secret) {
        (Some(key), Some(secret)) => Credentials::Fixed(Arc::new(AwsCredential {
            key_id: key.clone(),
            secret_key: secret.clone(),
            token: None,
        })),
        _ => {
            let imds_v1 = config.aws_imds_protocol_version == "v1";
            Credentials::Node(NodeCredentials::new(region.to_owned(), imds_v1))
        }
    };
    let Some(arn) = &config.aws_assume_role_arn else {
        return Ok(own);
    };
    let endpoint = match &config.aws_sts_endpoint_url {
        Some(url) => url.clone(),
        None => format!("https://sts.{region}.amazonaws.com/"),
    };
    let endpoint = Url::parse(&endpoint);
    let session_name = config.aws_role_session_name.as_deref();
    Ok(Credentials::Role(Box::new(Role {
        taken_by: own,
        arn: arn.clone(),
        session_name: session_name.unwrap_or("kong").to_owned(),
        endpoint: endpoint.map_err(|problem| Reason::setting("aws_sts_endpoint_url", problem))?,
        region: region.to_owned(),
        session: Mutex::default(),
    })))
}

impl AwsLambda {
    async fn call(&self, exchange: &mut Exchange<'_>) -> Result<Response, String> {
        let function = self
            .function
            .as_ref()
            .map_err(|problem| (*problem).to_owned())?;
        let payload: Bytes = payload::payload(exchange, &self.passed_on);
        let now = exchange.times.received_at;
        let credential = function.credentials.at(now, &self.client).await?;
        let headers = signed(
            &credential,
            ("lambda", &function.region),
            &function.url,
            function.headers.clone(),
            payload.clone(),
        )?;
        let asked = self.client.ask(|pool| {
            let request = pool.post(function.url.clone());
            request.headers(headers).body(payload)
        });
        let answer = asked.await?;
        answer::read(answer, self.reading).map_err(|problem| problem.to_string())
    }
}

impl Plugin for AwsLambda {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            request_body: payload::needs_body(&self.passed_on),
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        Access::Pending(Box::pin(async move {
            let began = Instant::now();
            let called = self.call(exchange).await;
            function::end(exchange, NAME, began, called)
        }))
    }
}
