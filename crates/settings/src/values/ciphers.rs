//! Ciphers, as OpenSSL lists them.

use super::{Context, Invalid, Kind, Setting};

/// A cipher suite of TLS 1.2 that can be spoken, by OpenSSL's name. Those of TLS 1.3 are not chosen
/// from: all are safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cipher {
    /// The name.
    pub name: &'static str,
    /// Words that stand for this one and others.
    words: &'static [&'static str],
}

/// The order is the one in which a server prefers them.
const SPOKEN: [Cipher; 6] = [
    cipher(
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        &["ECDSA", "aECDSA", "AES256", "AES", "AESGCM", "SHA384"],
    ),
    cipher(
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        &["ECDSA", "aECDSA", "AES128", "AES", "AESGCM", "SHA256"],
    ),
    cipher(
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        &["ECDSA", "aECDSA", "CHACHA20"],
    ),
    cipher(
        "ECDHE-RSA-AES256-GCM-SHA384",
        &["RSA", "aRSA", "AES256", "AES", "AESGCM", "SHA384"],
    ),
    cipher(
        "ECDHE-RSA-AES128-GCM-SHA256",
        &["RSA", "aRSA", "AES128", "AES", "AESGCM", "SHA256"],
    ),
    cipher("ECDHE-RSA-CHACHA20-POLY1305", &["RSA", "aRSA", "CHACHA20"]),
];

const fn cipher(name: &'static str, words: &'static [&'static str]) -> Cipher {
    Cipher { name, words }
}

/// Words that stand for all that can be spoken.
const ALL: [&str; 11] = [
    "ALL",
    "COMPLEMENTOFDEFAULT",
    "DEFAULT",
    "ECDHE",
    "ECDH",
    "EECDH",
    "kEECDH",
    "kECDHE",
    "HIGH",
    "FIPS",
    "TLSv1.2",
];

/// What a list of ciphers comes down to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ciphers {
    /// What can be spoken, in the order of the list.
    pub spoken: Vec<Cipher>,
    /// What was asked for by name and cannot be spoken.
    pub lost: Vec<String>,
}

impl Ciphers {
    /// What an AES-only list such as that of `fips` comes down to.
    pub(crate) fn aes() -> Self {
        Self::of("AESGCM")
    }

    /// Everything that can be spoken.
    pub(crate) fn default_list() -> Self {
        Self::of("DEFAULT")
    }

    fn of(list: &str) -> Self {
        let mut ciphers = Self::default();
        let mut banned = Vec::new();
        for entry in list
            .split([':', ',', ' '])
            .filter(|entry| !entry.is_empty())
        {
            // `@STRENGTH` and the like order what all are strong.
            if entry.starts_with('@') {
                continue;
            }
            let (sign, rest) = match entry.chars().next() {
                Some(sign @ ('!' | '-' | '+')) => (sign, &entry[1..]),
                _ => (' ', entry),
            };
            let meant: Vec<Cipher> = SPOKEN
                .into_iter()
                .filter(|cipher| rest.split('+').all(|word| cipher.is_meant(word)))
                .collect();
            match sign {
                '!' => {
                    ciphers.spoken.retain(|cipher| !meant.contains(cipher));
                    banned.extend(meant);
                }
                '-' => ciphers.spoken.retain(|cipher| !meant.contains(cipher)),
                '+' => {
                    let (last, mut first): (Vec<_>, Vec<_>) = ciphers
                        .spoken
                        .iter()
                        .copied()
                        .partition(|cipher| meant.contains(cipher));
                    first.extend(last);
                    ciphers.spoken = first;
                }
                _ if meant.is_empty() => {
                    // Suites of TLS 1.3 are always spoken.
                    if !rest.starts_with("TLS_") {
                        ciphers.lost.push(rest.to_owned());
                    }
                }
                _ => {
                    for cipher in meant {
                        if !ciphers.spoken.contains(&cipher) && !banned.contains(&cipher) {
                            ciphers.spoken.push(cipher);
                        }
                    }
                }
            }
        }
        ciphers
    }
}

impl Cipher {
    fn is_meant(&self, word: &str) -> bool {
        self.name == word || self.words.contains(&word) || ALL.contains(&word)
    }
}

impl Setting for Ciphers {
    const KIND: Kind = Kind::Special("ciphers as OpenSSL lists them, parted by colons");

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        Ok(Self::of(text))
    }

    fn absent() -> Option<Self> {
        Some(Self::default_list())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<&'static str> {
        let spoken = Ciphers::of(list).spoken;
        spoken.into_iter().map(|cipher| cipher.name).collect()
    }

    #[test]
    fn names_keep_their_order_and_lost_ones_are_told() {
        let ciphers = Ciphers::of(
            "ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:\
             TLS_AES_128_GCM_SHA256",
        );
        let spoken: Vec<_> = ciphers.spoken.iter().map(|cipher| cipher.name).collect();
        assert_eq!(
            spoken,
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"]
        );
        assert_eq!(ciphers.lost, ["DHE-RSA-AES128-GCM-SHA256"]);
    }

    #[test]
    fn words_stand_for_many_and_may_be_taken_back() {
        assert_eq!(names("HIGH:!aNULL:!MD5").len(), 6);
        assert_eq!(names("EECDH+AESGCM").len(), 4);
        assert_eq!(
            names("ALL:!ECDSA:-CHACHA20:+AES256"),
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"]
        );
        assert_eq!(names("!AES:ALL").len(), 2);
        assert!(names("AES128-SHA").is_empty());
        assert_eq!(Ciphers::aes().spoken.len(), 4);
    }
}
