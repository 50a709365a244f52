//! Where the credentials of an S3 storage come from.
//!
//! The chain is that of AWS's own tools: keys of the environment, web identity, the shared files,
//! the container's endpoint, the instance's. `object_store` knows most of it, but neither profiles
//! nor roles that are assumed, and it would look no further than the first that is set; the SDK of
//! the vendor knows all of it and would add some sixty crates. What is left beside `object_store`'s
//! signing is choosing, and a handful of small documents.

use std::fmt;
use std::path::PathBuf;

use object_store::aws::AwsCredential;
use url::{Host, Url};

use super::profile::{self, Profile, Profiles};
use crate::storage::Environment;
use crate::storage::endpoint::{self, keeps_secrets};

/// A source of credentials that nobody has asked yet. `Debug` shows no secret.
#[derive(Debug)]
pub(super) enum Origin {
    /// Keys as they are.
    Keys(AwsCredential),
    /// A role that the token of a pod or a job may assume (IRSA, OIDC).
    WebIdentity { token_file: PathBuf, role: Role },
    /// A role that other credentials may assume.
    Assumed { by: Box<Self>, role: Role },
    /// The endpoint of a container (ECS, EKS pod identity).
    Container {
        url: Url,
        authorization: Authorization,
    },
    /// The role of an EC2 instance.
    Instance { endpoint: Url },
    /// A command of a profile that prints credentials.
    Process(String),
}

/// A role to assume.
#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) session: String,
    pub(super) external_id: Option<String>,
}

/// What a container's endpoint wants to see.
pub(super) enum Authorization {
    None,
    /// A text of the environment.
    Text(String),
    /// A file, which is renewed while the process runs.
    File(PathBuf),
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Text(_) => f.write_str("Text"),
            Self::File(path) => path.fmt(f),
        }
    }
}

const SESSION: &str = "keelgate";

/// What a container's endpoint is reached at when only a path is set.
const CONTAINER: &str = "http://169.254.170.2";

/// How deep profiles may refer to each other.
const DEPTH: usize = 5;

/// Chooses a source. The text of a failure names variables, files and profiles, never what is in
/// them.
pub(super) fn choose(environment: &Environment, profiles: &Profiles) -> Result<Origin, String> {
    let origin = match first(environment, profiles)? {
        Some(origin) => origin,
        None => return Err(nothing(environment)),
    };
    Ok(match environment.get("AWS_ASSUME_ROLE_ARN") {
        Some(arn) => Origin::Assumed {
            by: Box::new(origin),
            role: Role {
                arn: arn.to_owned(),
                session: session(environment),
                external_id: environment
                    .get("AWS_ASSUME_ROLE_EXTERNAL_ID")
                    .map(str::to_owned),
            },
        },
        None => origin,
    })
}

/// What was looked for in vain, for people.
pub(super) fn nothing(environment: &Environment) -> String {
    let (name, _) = profile::chosen(environment);
    let [config, credentials] = profile::files(environment);
    format!(
        "no credentials: neither AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, nor AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN, nor the profile `{name}` in {} or {}, nor AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or AWS_CONTAINER_CREDENTIALS_FULL_URI is there, nor the role of an EC2 instance",
        config.display(),
        credentials.display(),
    )
}

fn first(environment: &Environment, profiles: &Profiles) -> Result<Option<Origin>, String> {
    if let Some(keys) = keys(environment)? {
        return Ok(Some(keys));
    }
    let token = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE");
    if let (Some(file), Some(arn)) = (token, environment.get("AWS_ROLE_ARN")) {
        return Ok(Some(Origin::WebIdentity {
            token_file: file.into(),
            role: Role {
                arn: arn.to_owned(),
                session: session(environment),
                external_id: None,
            },
        }));
    }
    if token.is_some() {
        return Err("AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN".to_owned());
    }
    let (name, asked) = profile::chosen(environment);
    match profiles.get(name) {
        Some(_) => {
            if let Some(origin) = from_profile(environment, profiles, name, DEPTH)? {
                return Ok(Some(origin));
            }
            if asked {
                return Err(format!("the profile `{name}` has no credentials"));
            }
        }
        None if asked => return Err(format!("there is no profile `{name}`: check AWS_PROFILE")),
        None => {}
    }
    if let Some(container) = container(environment)? {
        return Ok(Some(container));
    }
    instance(environment)
}

fn session(environment: &Environment) -> String {
    let named = environment.get("AWS_ROLE_SESSION_NAME");
    named.unwrap_or(SESSION).to_owned()
}

fn keys(environment: &Environment) -> Result<Option<Origin>, String> {
    let key = environment.get("AWS_ACCESS_KEY_ID");
    let secret = environment.get("AWS_SECRET_ACCESS_KEY");
    match (key, secret) {
        (Some(key), Some(secret)) => Ok(Some(Origin::Keys(AwsCredential {
            key_id: key.to_owned(),
            secret_key: secret.to_owned(),
            token: environment.get("AWS_SESSION_TOKEN").map(str::to_owned),
        }))),
        (None, None) => Ok(None),
        (Some(_), None) => Err("AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY".to_owned()),
        (None, Some(_)) => Err("AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID".to_owned()),
    }
}

fn container(environment: &Environment) -> Result<Option<Origin>, String> {
    let relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let full = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let (text, variable) = match (relative, full) {
        (Some(path), _) => (
            format!("{CONTAINER}{path}"),
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        ),
        (None, Some(url)) => (url.to_owned(), "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        (None, None) => return Ok(None),
    };
    let url = Url::parse(&text).map_err(|_| format!("{variable} is no address"))?;
    if !keeps_secrets(&url) && !is_container_host(&url) {
        return Err(format!(
            "{variable} must be an https:// address, or one of this machine or of the container's own service"
        ));
    }
    let file = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    let text = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    let authorization = match (file, text) {
        (Some(file), _) => Authorization::File(file.into()),
        (None, Some(text)) => Authorization::Text(text.to_owned()),
        (None, None) => Authorization::None,
    };
    Ok(Some(Origin::Container { url, authorization }))
}

/// The addresses at which the agents of ECS and EKS answer.
fn is_container_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => matches!(address.octets(), [169, 254, 170, 2 | 23]),
        Some(Host::Ipv6(address)) => address.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23],
        _ => false,
    }
}

fn instance(environment: &Environment) -> Result<Option<Origin>, String> {
    if environment
        .get("AWS_EC2_METADATA_DISABLED")
        .is_some_and(|disabled| disabled.eq_ignore_ascii_case("true"))
    {
        return Ok(None);
    }
    let mode = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    let usual = match mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6")) {
        true => "http://[fd00:ec2::254]",
        false => "http://169.254.169.254",
    };
    let variable = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    let text = environment.get(variable).unwrap_or(usual);
    let endpoint = endpoint::read(text, variable, "the other AWS_* variables")?;
    Ok(Some(Origin::Instance { endpoint }))
}

/// The credentials of a profile, if it has any.
fn from_profile(
    environment: &Environment,
    profiles: &Profiles,
    name: &str,
    depth: usize,
) -> Result<Option<Origin>, String> {
    let profile = profiles
        .get(name)
        .ok_or_else(|| format!("there is no profile `{name}`, which another one refers to"))?;
    let Some(arn) = profile.get("role_arn") else {
        return own(profile, name);
    };
    let role = Role {
        arn: arn.clone(),
        session: match profile.get("role_session_name") {
            Some(session) => session.clone(),
            None => session(environment),
        },
        external_id: profile.get("external_id").cloned(),
    };
    if profile.contains_key("mfa_serial") {
        return Err(format!(
            "the profile `{name}` asks for a code of a device (mfa_serial), which nobody can type here"
        ));
    }
    if let Some(file) = profile.get("web_identity_token_file") {
        return Ok(Some(Origin::WebIdentity {
            token_file: file.into(),
            role,
        }));
    }
    let by = match (
        profile.get("source_profile"),
        profile.get("credential_source"),
    ) {
        // A profile that is its own source has keys beside its role.
        (Some(source), _) if source == name => own(profile, name)?,
        (Some(_), _) if depth == 0 => {
            return Err(format!(
                "the profiles that `{name}` refers to go round in a circle"
            ));
        }
        (Some(source), _) => from_profile(environment, profiles, source, depth - 1)?,
        (None, Some(source)) => match source.as_str() {
            "Environment" => keys(environment)?,
            "EcsContainer" => container(environment)?,
            "Ec2InstanceMetadata" => instance(environment)?,
            _ => {
                return Err(format!(
                    "the credential_source of the profile `{name}` must be Environment, EcsContainer or Ec2InstanceMetadata"
                ));
            }
        },
        (None, None) => {
            return Err(format!(
                "the profile `{name}` has a role_arn without source_profile, credential_source or web_identity_token_file"
            ));
        }
    };
    let by = by.ok_or_else(|| {
        format!("the source of the role of the profile `{name}` has no credentials")
    })?;
    Ok(Some(Origin::Assumed {
        by: Box::new(by),
        role,
    }))
}

/// What a profile has without any role.
fn own(profile: &Profile, name: &str) -> Result<Option<Origin>, String> {
    let text = |key: &str| profile.get(key).filter(|text| !text.is_empty()).cloned();
    match (text("aws_access_key_id"), text("aws_secret_access_key")) {
        (Some(key_id), Some(secret_key)) => Ok(Some(Origin::Keys(AwsCredential {
            key_id,
            secret_key,
            token: text("aws_session_token"),
        }))),
        (None, None) => match text("credential_process") {
            Some(command) => Ok(Some(Origin::Process(command))),
            None if profile.keys().any(|key| key.starts_with("sso_")) => Err(format!(
                "the profile `{name}` signs people in (sso_*), which a gateway cannot do: use keys, a role or credential_process"
            )),
            None => Ok(None),
        },
        _ => Err(format!(
            "the profile `{name}` has only one of aws_access_key_id and aws_secret_access_key"
        )),
    }
}

#[cfg(test)]
mod tests;
