//! Conditions on the TLS server name.

use crate::host::Shape;

/// One accepted server name.
#[derive(Debug)]
pub(crate) enum SniRule {
    Exact(Box<str>),
    Suffix(Box<str>),
    Prefix(Box<str>),
}

impl SniRule {
    pub(crate) fn compile(pattern: &str) -> Self {
        match Shape::of(bare(pattern)) {
            Shape::Exact(name) => Self::Exact(name.into()),
            Shape::Suffix(name) => Self::Suffix(name.into()),
            Shape::Prefix(name) => Self::Prefix(name.into()),
        }
    }

    pub(crate) fn accepts(&self, name: &str) -> bool {
        match self {
            Self::Exact(own) => **own == *name,
            Self::Suffix(own) => name.ends_with(&**own),
            Self::Prefix(own) => name.starts_with(&**own),
        }
    }
}

/// A pattern without the dot that ends a fully qualified name, which is not part of a server name.
pub(crate) fn bare(pattern: &str) -> &str {
    match pattern.strip_suffix('.') {
        Some(name) if !name.is_empty() => name,
        _ => pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::SniRule;

    #[test]
    fn names_match_whole_or_by_wildcard() {
        assert!(SniRule::compile("a.test").accepts("a.test"));
        assert!(SniRule::compile("a.test.").accepts("a.test"));
        assert!(!SniRule::compile("a.test").accepts("A.test"));
        assert!(SniRule::compile("*.test").accepts("a.b.test"));
        assert!(!SniRule::compile("*.test").accepts("test"));
        assert!(SniRule::compile("a.*").accepts("a.test"));
        assert!(!SniRule::compile("a.*").accepts("b.a.test"));
    }
}
