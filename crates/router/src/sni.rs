//! Conditions on the TLS server name.

use keelgate_entities::RouterFlavor;

use crate::host::Shape;

/// One accepted server name.
#[derive(Debug)]
pub(crate) enum SniRule {
    Exact(Box<str>),
    Suffix(Box<str>),
    Prefix(Box<str>),
}

impl SniRule {
    /// Kong's first router knows no wildcards in server names.
    pub(crate) fn compile(pattern: &str, flavor: RouterFlavor) -> Self {
        let pattern = bare(pattern);
        if flavor == RouterFlavor::Traditional {
            return Self::Exact(pattern.into());
        }
        match Shape::of(pattern) {
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
    use keelgate_entities::RouterFlavor::{Traditional, TraditionalCompatible};

    fn accepts(pattern: &str, name: &str) -> bool {
        SniRule::compile(pattern, TraditionalCompatible).accepts(name)
    }

    #[test]
    fn names_match_whole_or_by_wildcard() {
        assert!(accepts("a.test", "a.test"));
        assert!(accepts("a.test.", "a.test"));
        assert!(!accepts("a.test", "A.test"));
        assert!(accepts("*.test", "a.b.test"));
        assert!(!accepts("*.test", "test"));
        assert!(accepts("a.*", "a.test"));
        assert!(!accepts("a.*", "b.a.test"));
    }

    #[test]
    fn the_first_router_takes_a_star_for_a_letter() {
        assert!(!SniRule::compile("*.test", Traditional).accepts("a.test"));
        assert!(SniRule::compile("a.test.", Traditional).accepts("a.test"));
    }
}
