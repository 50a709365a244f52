//! Numbers and sizes.

use super::{Context, Invalid, Kind, Setting};

macro_rules! whole_number {
    ($($T:ty),*) => { $(
        impl Setting for $T {
            const KIND: Kind = Kind::Number;

            fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
                text.parse().map_err(|_| Invalid::new(
                    format!("is not a number: '{text}'"),
                    format!("write a whole number from {} to {}", <$T>::MIN, <$T>::MAX),
                ))
            }
        }
    )* };
}

whole_number!(u16, u32, u64);

/// A number of bytes: `1024`, `8k`, `10m`, `1g`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&text[..text.len() - 1], 1 << 10),
        b'm' => (&text[..text.len() - 1], 1 << 20),
        b'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

impl Setting for Size {
    const KIND: Kind = Kind::Size;

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        bytes(text).map(Self).ok_or_else(|| {
            Invalid::new(
                format!("is not a size: '{text}'"),
                "write a number of bytes, or one with k, m or g, such as 10m",
            )
        })
    }
}

/// How many buffers of which size a request head may fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderBuffers {
    /// How many.
    pub number: u32,
    /// Bytes of each; no single header line may be longer.
    pub size: u64,
}

impl HeaderBuffers {
    /// The most bytes that a request head may have.
    #[must_use]
    pub fn total(self) -> u64 {
        u64::from(self.number).saturating_mul(self.size)
    }
}

impl Setting for HeaderBuffers {
    const KIND: Kind = Kind::Special("a number of buffers and their size, such as 4 8k");

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        let mut words = text.split_ascii_whitespace();
        let number = words.next().and_then(|word| word.parse().ok());
        let size = words.next().and_then(bytes);
        match (number, size, words.next()) {
            (Some(number @ 1..), Some(size @ 1..), None) => Ok(Self { number, size }),
            _ => Err(Invalid::new(
                format!("is not a number and a size: '{text}'"),
                "write for example 4 8k",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("0"), Some(0));
        assert_eq!(bytes("8k"), Some(8192));
        assert_eq!(bytes("10M"), Some(10 << 20));
        assert_eq!(bytes("k"), None);
        assert_eq!(bytes("ten"), None);
        assert_eq!(bytes("99999999999999999999g"), None);
        assert_eq!(bytes("18446744073709551615k"), None);
    }
}
