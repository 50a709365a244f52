//! Text, paths, switches and ids.

use std::path::PathBuf;

use uuid::Uuid;

use super::{Context, Invalid, Kind, Setting};

/// A switch that Kong hands to nginx: shown as `on` and `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnOff(pub bool);

fn switch(text: &str) -> Result<bool, Invalid> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(Invalid::new(
            format!("is not a boolean: '{text}'"),
            "write on or off",
        )),
    }
}

impl Setting for bool {
    const KIND: Kind = Kind::Bool;

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        switch(text)
    }
}

impl Setting for OnOff {
    const KIND: Kind = Kind::OnOff;

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        switch(text).map(Self)
    }
}

impl Setting for String {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        Ok(text.to_owned())
    }
}

impl Setting for PathBuf {
    const KIND: Kind = Kind::Path;

    /// Relative paths are taken from the working directory, as a shell would.
    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        std::path::absolute(text).map_err(|error| {
            Invalid::new(
                format!("is not a usable path: {error}"),
                "write an absolute path",
            )
        })
    }
}

impl Setting for Uuid {
    const KIND: Kind = Kind::Special("a UUID");

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        Self::parse_str(text).map_err(|_| {
            Invalid::new(
                "must be a valid UUID",
                "write one such as 5f6c5a26-6d3f-4f0a-9d8f-5b1b0f6f9a10, or leave it unset: a node makes its own and keeps it",
            )
        })
    }
}
