//! Base64 as clients write it: with its padding or without.

use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memchr;

const STANDARD_READER: GeneralPurpose = reader(&STANDARD);
const URL_SAFE_READER: GeneralPurpose = reader(&URL_SAFE);

/// Bits that do not fill a byte are passed over, as clients rely on it.
const fn reader(alphabet: &Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(alphabet, config)
}

/// Decodes base64 in the usual alphabet; what stands behind a padding is passed over.
pub(crate) fn standard(encoded: &[u8]) -> Option<Vec<u8>> {
    STANDARD_READER.decode(unpadded(encoded)).ok()
}

/// Decodes base64 in the alphabet of URLs; what stands behind a padding is passed over.
pub(crate) fn url_safe(encoded: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_READER.decode(unpadded(encoded)).ok()
}

fn unpadded(encoded: &[u8]) -> &[u8] {
    &encoded[..memchr(b'=', encoded).unwrap_or(encoded.len())]
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn base64_is_read_with_and_without_padding(bytes: Vec<u8>) {
            let padded = BASE64_URL_SAFE.encode(&bytes);
            prop_assert_eq!(url_safe(padded.as_bytes()), Some(bytes.clone()));
            let bare = padded.trim_end_matches('=');
            prop_assert_eq!(url_safe(bare.as_bytes()), Some(bytes.clone()));
            let padded = BASE64_STANDARD.encode(&bytes);
            prop_assert_eq!(standard(padded.as_bytes()), Some(bytes));
        }
    }

    #[test]
    fn the_alphabets_are_not_mixed() {
        assert_eq!(standard(b"-_-_"), None);
        assert_eq!(url_safe(b"+/+/"), None);
        assert_eq!(standard(b"a"), None);
    }
}
