//! How routes are written and ordered.

/// The language of routes (`router_flavor`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouterFlavor {
    /// Attributes (hosts, paths, ...), in the order that Kong's expressions engine gives them.
    #[default]
    TraditionalCompatible,
    /// Attributes, in the order of Kong's first router.
    Traditional,
    /// Expressions, and attributes for routes that have none; expressions are asked first.
    Expressions,
}
