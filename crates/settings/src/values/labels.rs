//! Labels of data planes.

use super::{Context, Invalid, Kind, Setting};

/// A `key:value` pair that tells data planes apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

const LONGEST: usize = 63;
const RESERVED: [&str; 5] = ["kong", "konnect", "insomnia", "mesh", "kic"];

fn is_word(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= LONGEST
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(b))
}

impl Setting for Label {
    const KIND: Kind = Kind::Special("a key:value pair");

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        let mend = "write key:value, each up to 63 letters, digits, - . _ and :, starting and ending with a letter or digit";
        let Some((key, value)) = text.split_once(':') else {
            return Err(Invalid::new(format!("has no ':' in '{text}'"), mend));
        };
        let lower = key.to_ascii_lowercase();
        if let Some(word) = RESERVED.into_iter().find(|word| lower.starts_with(word)) {
            return Err(Invalid::new(
                format!("label key '{key}' starts with the reserved word {word}"),
                "choose another key",
            ));
        }
        if !is_word(key) || !is_word(value) {
            return Err(Invalid::new(format!("label '{text}' is invalid"), mend));
        }
        Ok(Self {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}
