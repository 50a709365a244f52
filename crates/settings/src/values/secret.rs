//! Values that must not be shown.

use std::fmt;

use serde_json::{Map, Value};

use super::{Context, Invalid, Kind, Setting};

/// Text that no log line, error or debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

impl Setting for Secret {
    const KIND: Kind = Kind::Text;
    const SECRET: bool = true;

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        Ok(Self(text.to_owned()))
    }
}

/// Members of S3's `PutObject` call that every upload carries, as a JSON object:
/// `{"ServerSideEncryption": "aws:kms"}`. May hold customer keys, so it is secret.
#[derive(Clone, PartialEq)]
pub struct S3PutOptions(Map<String, Value>);

impl S3PutOptions {
    /// The members, by the names that S3 gives them.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl fmt::Debug for S3PutOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Setting for S3PutOptions {
    const KIND: Kind = Kind::Special("a JSON object");
    const SECRET: bool = true;

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        serde_json::from_str(text).map(Self).map_err(|error| {
            Invalid::new(
                format!(
                    "is not a JSON object (line {}, column {})",
                    error.line(),
                    error.column()
                ),
                r#"write for example {"ServerSideEncryption": "AES256"}"#,
            )
        })
    }
}
