//! Secrets that the gateway makes.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Length of a secret: 190 bits.
const LENGTH: usize = 32;

/// A random secret of 32 letters and digits.
pub fn random() -> String {
    let mut secret = String::with_capacity(LENGTH);
    let mut bytes = [0_u8; 64];
    while secret.len() < LENGTH {
        aws_lc_rs::rand::fill(&mut bytes)
            .expect("the operating system gives random bytes, or nothing cryptographic works");
        // Bytes above the last whole multiple would favour some letters.
        let fair = bytes.iter().filter(|&&byte| byte < 248);
        let letters = fair.map(|&byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
        secret.extend(letters.take(LENGTH - secret.len()));
    }
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_32_letters_and_digits_and_differ() {
        let one = random();
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(one, random());
    }
}
