//! Credentials of the Admin API.

use std::fmt;

use super::{Context, Invalid, Kind, Secret, Setting, entries};

/// The shortest secret: what nobody finds by trying.
const SHORTEST: usize = 16;

/// The longest name.
const LONGEST_NAME: usize = 64;

const MEND: &str =
    "write NAME:read-only:SECRET or NAME:read-write:SECRET; `openssl rand -hex 24` makes a secret";

/// A name, what its holder may do, and the secret. Nothing shows the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminCredential {
    /// Told in the audit log.
    pub name: String,
    /// Whether its holder may change anything.
    pub may_write: bool,
    /// What clients show.
    pub secret: Secret,
}

impl AdminCredential {
    fn parse(text: &str) -> Result<Self, Invalid> {
        if text.contains("{vault://") {
            return Err(Invalid::new(
                "has a reference in the midst of the list",
                "let the reference stand for the whole list",
            ));
        }
        let mut parts = text.splitn(3, ':');
        let (Some(name), Some(role), Some(secret)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Invalid::new(
                "has an entry without NAME, ROLE and SECRET",
                MEND,
            ));
        };
        let is_name = (1..=LONGEST_NAME).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte));
        if !is_name {
            return Err(Invalid::new(
                "has a name that is not 1 to 64 letters, digits, '.', '_', '@' or '-'",
                MEND,
            ));
        }
        let may_write = match role {
            "read-only" => false,
            "read-write" => true,
            _ => {
                return Err(Invalid::new(
                    format!("the role of '{name}' is neither read-only nor read-write"),
                    MEND,
                ));
            }
        };
        if secret.len() < SHORTEST || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Invalid::new(
                format!(
                    "the secret of '{name}' is not {SHORTEST} or more letters, digits and signs without spaces"
                ),
                MEND,
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            may_write,
            secret: Secret::new(secret.to_owned()),
        })
    }
}

impl fmt::Debug for AdminCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:******", self.name)
    }
}

/// Credentials, `NAME:ROLE:SECRET`, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdminCredentials(pub Vec<AdminCredential>);

impl Setting for AdminCredentials {
    const KIND: Kind = Kind::List(&Kind::Special(
        "NAME:ROLE:SECRET with the role read-only or read-write, or a reference to the whole list",
    ));
    const SECRET: bool = true;

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        let mut credentials: Vec<AdminCredential> = Vec::new();
        for entry in entries(text) {
            let credential = AdminCredential::parse(entry)?;
            let same = credentials
                .iter()
                .find(|other| other.secret == credential.secret);
            if let Some(same) = same {
                return Err(Invalid::new(
                    format!(
                        "'{}' and '{}' have the same secret",
                        same.name, credential.name
                    ),
                    "give each credential a secret of its own",
                ));
            }
            credentials.push(credential);
        }
        Ok(Self(credentials))
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Result<AdminCredentials, Invalid> {
        let context = Context {
            prefix: Path::new("/prefix"),
        };
        <AdminCredentials as Setting>::parse(text, context)
    }

    #[test]
    fn a_secret_may_have_colons_and_never_shows() {
        let parsed =
            parse("ops:read-write:a:secret:of:some:length, eye:read-only:0123456789abcdef")
                .unwrap();
        let [ops, eye] = parsed.0.as_slice() else {
            panic!("two credentials")
        };
        assert_eq!(ops.secret.expose(), "a:secret:of:some:length");
        assert!(ops.may_write && !eye.may_write);
        assert!(!format!("{parsed:?}").contains("secret:of"));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        for (text, told) in [
            ("0123456789abcdef0123", "without NAME, ROLE and SECRET"),
            ("ops:0123456789abcdef", "without NAME, ROLE and SECRET"),
            ("ops:admin:0123456789abcdef", "neither read-only nor"),
            ("ops:read-only:short", "the secret of 'ops'"),
            ("o ps:read-only:0123456789abcdef", "has a name"),
            (
                "a:read-only:0123456789abcdef,b:read-write:0123456789abcdef",
                "'a' and 'b' have the same secret",
            ),
            ("a:read-only:{vault://env/a}", "in the midst"),
        ] {
            let invalid = parse(text).unwrap_err();
            assert!(invalid.message.contains(told), "{}", invalid.message);
            assert!(!invalid.message.contains("0123456789abcdef"));
        }
    }
}
