//! Page offsets: opaque to clients, `["ID"]` in base64 inside.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use keelgate_entities::ApiError;

// Lenient where it does no harm, so that a token that lost its padding on the way still works.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The token for "continue after this key".
pub(crate) fn encode(after: &[&str]) -> String {
    ENGINE.encode(serde_json::Value::from(after.to_vec()).to_string())
}

/// The key that a token of [`encode`] stands for, which has `N` parts.
pub(crate) fn decode<const N: usize>(token: &str) -> Result<[String; N], ApiError> {
    let bytes = ENGINE
        .decode(token)
        .map_err(|_| ApiError::invalid_offset(token, "bad base64 encoding"))?;
    serde_json::from_slice::<Vec<String>>(&bytes)
        .ok()
        .and_then(|parts| parts.try_into().ok())
        .ok_or_else(|| ApiError::invalid_offset(token, "bad json encoding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        let id = "a0000020-0000-4000-8000-000000000020";
        assert_eq!(decode::<1>(&encode(&[id])).unwrap(), [id]);
    }

    #[test]
    fn bad_tokens_say_which_layer_is_bad() {
        assert!(
            decode::<1>("xyz")
                .unwrap_err()
                .message
                .ends_with("bad json encoding")
        );
        assert!(
            decode::<1>("")
                .unwrap_err()
                .message
                .ends_with("bad json encoding")
        );
        assert!(
            decode::<1>("%%")
                .unwrap_err()
                .message
                .ends_with("bad base64 encoding")
        );
    }
}
