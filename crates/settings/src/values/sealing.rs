//! Keys that seal stored snapshots.

use std::fmt;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine};

use super::{Context, Invalid, Kind, Setting, entries};

/// How many bytes a key has.
const KEY_BYTES: usize = 32;

/// How long the name of a key may be: shorter than a key in base64, so that a key that was written
/// in the place of its name is never taken for one and shown.
const LONGEST_ID: usize = 32;

/// How many keys there may be: an exchange needs two.
const MOST: usize = 16;

const MEND: &str =
    "write ID:KEY, where KEY is the base64 of 32 random bytes, as `openssl rand -base64 32` makes";

/// Both alphabets, padded or not.
const ENGINES: [GeneralPurpose; 2] = [
    GeneralPurpose::new(&alphabet::STANDARD, LENIENT),
    GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT),
];
const LENIENT: GeneralPurposeConfig =
    engine::general_purpose::PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// A named key of 256 bits. Nothing shows its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey {
    id: String,
    bytes: [u8; KEY_BYTES],
}

impl SealingKey {
    /// Its name, which sealed documents carry in clear.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        if text.contains("{vault://") {
            return Err(Invalid::new(
                "has a reference in the midst of an entry",
                "let the reference stand for the whole of ID:KEY",
            ));
        }
        let (id, key) = text
            .split_once(':')
            .ok_or_else(|| Invalid::new("has an entry without ':'", MEND))?;
        let (id, key) = (id.trim_end(), key.trim_start());
        let is_id = (1..=LONGEST_ID).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !is_id {
            return Err(Invalid::new(
                "has a key whose name is not 1 to 32 letters, digits, '.', '_' or '-'",
                MEND,
            ));
        }
        let decoded = ENGINES
            .iter()
            .find_map(|engine| engine.decode(key).ok())
            .ok_or_else(|| Invalid::new(format!("the key '{id}' is not base64"), MEND))?;
        let length = decoded.len();
        let bytes: [u8; KEY_BYTES] = decoded.try_into().map_err(|_| {
            Invalid::new(
                format!("the key '{id}' has {length} bytes; it must have {KEY_BYTES}"),
                MEND,
            )
        })?;
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(Invalid::new(
                format!("the key '{id}' is not random: all its bytes are the same"),
                MEND,
            ));
        }
        Ok(Self {
            id: id.to_owned(),
            bytes,
        })
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:******", self.id)
    }
}

/// Keys by name, `id:BASE64`, separated by commas. The first one seals, every one opens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SealingKeys(Vec<SealingKey>);

impl SealingKeys {
    /// The keys, the one that seals first; empty when nothing is sealed.
    #[must_use]
    pub fn keys(&self) -> &[SealingKey] {
        &self.0
    }
}

impl Setting for SealingKeys {
    const KIND: Kind = Kind::List(&Kind::Special(
        "ID:KEY with the base64 of 32 bytes, or a reference to that",
    ));
    const SECRET: bool = true;

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        let mut keys: Vec<SealingKey> = Vec::new();
        for entry in entries(text) {
            let key = SealingKey::parse(entry)?;
            for other in &keys {
                if other.id == key.id {
                    return Err(Invalid::new(
                        format!("two keys are called '{}'", key.id),
                        "give every key a name of its own, and never use a name again for another key",
                    ));
                }
                if other.bytes == key.bytes {
                    return Err(Invalid::new(
                        format!("'{}' and '{}' are the same key", other.id, key.id),
                        "remove one of the two",
                    ));
                }
            }
            keys.push(key);
        }
        if keys.len() > MOST {
            return Err(Invalid::new(
                format!("has {} keys; at most {MOST} are allowed", keys.len()),
                "remove those that nothing is sealed with any more",
            ));
        }
        Ok(Self(keys))
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    fn parse(text: &str) -> Result<SealingKeys, Invalid> {
        let context = Context {
            prefix: Path::new("/prefix"),
        };
        <SealingKeys as Setting>::parse(text, context)
    }

    fn bytes(seed: u8) -> [u8; KEY_BYTES] {
        std::array::from_fn(|index| seed.wrapping_mul(31).wrapping_add(index as u8 ^ 0xfb))
    }

    #[test]
    fn the_first_of_several_keys_seals() {
        let text = format!(
            "new: {}, old:{}",
            URL_SAFE_NO_PAD.encode(bytes(1)),
            STANDARD.encode(bytes(2))
        );
        let keys = parse(&text).unwrap();
        let ids: Vec<&str> = keys.keys().iter().map(SealingKey::id).collect();
        assert_eq!(ids, ["new", "old"]);
        assert_eq!(keys.keys()[0].expose(), &bytes(1));
    }

    #[test]
    fn a_wrong_key_is_told_without_being_shown() {
        let good = STANDARD.encode(bytes(1));
        let short = STANDARD.encode(&bytes(1)[..16]);
        for (text, told) in [
            (good.clone(), "without ':'"),
            (format!("{good}:k1"), "whose name"),
            (format!(":{good}"), "whose name"),
            (format!("k1:{short}"), "'k1' has 16 bytes; it must have 32"),
            ("k1:p@ssw0rd!".to_owned(), "'k1' is not base64"),
            (
                format!("k1:{}", STANDARD.encode([7; KEY_BYTES])),
                "is not random",
            ),
            (format!("k1:{good},k1:{short}"), "has 16 bytes"),
            (
                format!("k1:{good},k1:{}", STANDARD.encode(bytes(2))),
                "two keys are called 'k1'",
            ),
            (format!("k1:{good},k2:{good}"), "are the same key"),
            ("k1:{vault://env/X}".to_owned(), "reference in the midst"),
        ] {
            let invalid = parse(&text).unwrap_err();
            let shown = format!("{} {}", invalid.message, invalid.mend);
            assert!(shown.contains(told), "{shown}");
            for secret in [&good, &short, "p@ssw0rd!"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }

    #[test]
    fn keys_are_not_shown_by_debug_output() {
        let keys = parse(&format!("k1:{}", STANDARD.encode(bytes(1)))).unwrap();
        assert_eq!(format!("{keys:?}"), "SealingKeys([k1:******])");
    }
}
