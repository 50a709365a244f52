//! Settings of `aws-lambda`.

use keelgate_entities::Object;
use keelgate_entities::schema::{CheckRule, Field, PluginSchema, typedefs};
use serde::Deserialize;

use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "aws-lambda";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    let flag = |name, default: bool| Field::boolean(name).default(default);
    PluginSchema::new(NAME, 750, VERSION)
        .http_only()
        .fields([
            Field::number("timeout")
                .required()
                .default(60_000)
                .description("Milliseconds to connect in, and that the function may be silent for."),
            Field::number("keepalive")
                .required()
                .default(60_000)
                .description("Milliseconds that a connection is kept while it is not used."),
            Field::string("aws_key")
                .encrypted()
                .referenceable()
                .description("Access key id; without it, the credentials are those of the node's environment."),
            Field::string("aws_secret")
                .encrypted()
                .referenceable()
                .description("Secret of the access key."),
            Field::string("aws_assume_role_arn")
                .encrypted()
                .referenceable()
                .description("Role that the function is called as."),
            Field::string("aws_role_session_name")
                .default("kong")
                .description("What AWS calls the sessions of the role."),
            typedefs::url("aws_sts_endpoint_url")
                .description("Where the role's credentials are asked for; by default the region's STS."),
            typedefs::host("aws_region")
                .description("Region of the function; by default AWS_REGION of the node's environment."),
            Field::string("function_name")
                .optional()
                .description("Name or ARN of the function."),
            Field::string("qualifier")
                .description("Version or alias of the function."),
            Field::string("invocation_type")
                .required()
                .default("RequestResponse")
                .one_of(["RequestResponse", "Event", "DryRun"])
                .description("Whether the function is waited for, only started, or not called at all."),
            Field::string("log_type")
                .required()
                .default("Tail")
                .one_of(["Tail", "None"])
                .description("Whether the answer has the end of the function's log, in X-Amz-Log-Result."),
            typedefs::host("host")
                .description("Where the function is called; by default the region's Lambda."),
            typedefs::port("port").default(443),
            flag("disable_https", false)
                .description("Whether the function is called without TLS."),
            Field::integer("unhandled_status")
                .between(100.0, 999.0)
                .description("Status of the response where the function has failed."),
            flag("forward_request_method", false)
                .description("Whether the function is told the method, in request_method."),
            flag("forward_request_uri", false)
                .description("Whether the function is told path and query, in request_uri and request_uri_args."),
            flag("forward_request_headers", false)
                .description("Whether the function is told the headers, in request_headers."),
            flag("forward_request_body", false)
                .description("Whether the function is told the body, in request_body and request_body_args."),
            flag("is_proxy_integration", false)
                .description("Whether the function answers with statusCode, headers and body, as behind Amazon's API gateway."),
            flag("awsgateway_compatible", false)
                .description("Whether the function is told of requests as behind Amazon's API gateway (format 1.0)."),
            typedefs::url("proxy_url")
                .description("Proxy that the function is called through; http://HOST:PORT."),
            flag("skip_large_bodies", true)
                .description("Whether bodies of more than 8 KiB are not passed on."),
            flag("base64_encode_body", true)
                .description("Whether bodies that are no text are passed on in base64."),
            Field::string("aws_imds_protocol_version")
                .required()
                .default("v1")
                .one_of(["v1", "v2"])
                .description("Whether the metadata service of an EC2 machine must speak version 2."),
            Field::string("empty_arrays_mode")
                .required()
                .default("legacy")
                .one_of(["legacy", "correct"])
                .description("Whether empty lists in the function's JSON become empty objects (legacy)."),
        ])
        .check(CheckRule::mutually_required(&[
            "config.aws_key",
            "config.aws_secret",
        ]))
        .check(CheckRule::custom(&["config.proxy_url"], check_proxy))
}

/// A proxy is spoken to in clear.
fn check_proxy(plugin: &Object) -> Result<(), String> {
    let config = plugin.get("config");
    let url = config.and_then(|config| config.get("proxy_url")?.as_str());
    match url.and_then(|url| url.split_once("://")) {
        Some((scheme, _)) if scheme != "http" => Err("proxy_url scheme must be http".to_owned()),
        _ => Ok(()),
    }
}

/// The settings.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    /// Milliseconds.
    pub(crate) timeout: f64,
    /// Milliseconds.
    pub(crate) keepalive: f64,
    pub(crate) aws_key: Option<String>,
    pub(crate) aws_secret: Option<String>,
    pub(crate) aws_assume_role_arn: Option<String>,
    pub(crate) aws_role_session_name: Option<String>,
    pub(crate) aws_sts_endpoint_url: Option<String>,
    pub(crate) aws_region: Option<String>,
    pub(crate) function_name: Option<String>,
    pub(crate) qualifier: Option<String>,
    pub(crate) invocation_type: String,
    pub(crate) log_type: String,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) disable_https: Option<bool>,
    pub(crate) unhandled_status: Option<u16>,
    #[serde(flatten)]
    pub(crate) passed_on: PassedOn,
    pub(crate) is_proxy_integration: Option<bool>,
    pub(crate) proxy_url: Option<String>,
    pub(crate) aws_imds_protocol_version: String,
    pub(crate) empty_arrays_mode: String,
}

/// What the function is told of requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PassedOn {
    #[serde(rename = "forward_request_method")]
    pub(crate) method: Option<bool>,
    #[serde(rename = "forward_request_uri")]
    pub(crate) uri: Option<bool>,
    #[serde(rename = "forward_request_headers")]
    pub(crate) headers: Option<bool>,
    #[serde(rename = "forward_request_body")]
    pub(crate) body: Option<bool>,
    pub(crate) awsgateway_compatible: Option<bool>,
    pub(crate) skip_large_bodies: Option<bool>,
    pub(crate) base64_encode_body: Option<bool>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: 60_000.0,
            keepalive: 60_000.0,
            aws_key: None,
            aws_secret: None,
            aws_assume_role_arn: None,
            aws_role_session_name: Some("kong".to_owned()),
            aws_sts_endpoint_url: None,
            aws_region: None,
            function_name: None,
            qualifier: None,
            invocation_type: "RequestResponse".to_owned(),
            log_type: "Tail".to_owned(),
            host: None,
            port: Some(443),
            disable_https: None,
            unhandled_status: None,
            passed_on: PassedOn::default(),
            is_proxy_integration: None,
            proxy_url: None,
            aws_imds_protocol_version: "v1".to_owned(),
            empty_arrays_mode: "legacy".to_owned(),
        }
    }
}
