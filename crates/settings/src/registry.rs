//! Every key that is understood, as data.

use crate::accepted::ACCEPTED;
use crate::sections::{
    Admin, Cluster, Database, Dns, Fallback, Listen, Log, Node, Postgres, Proxy, Replica, Tls,
};
use crate::values::{Kind, Role};

/// The nodes on which a setting has a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every node.
    Every,
    /// Nodes that proxy: `traditional` and `data_plane`.
    Proxying,
    /// Nodes with an Admin API: `traditional` and `control_plane`.
    Administering,
    /// Nodes of a cluster: `control_plane` and `data_plane`.
    Hybrid,
    /// `control_plane` only.
    ControlPlane,
    /// `data_plane` only.
    DataPlane,
}

impl Scope {
    /// Whether a setting with this scope means something on a node with `role`.
    #[must_use]
    pub fn applies_to(self, role: Role) -> bool {
        match self {
            Self::Every => true,
            Self::Proxying => role != Role::ControlPlane,
            Self::Administering => role != Role::DataPlane,
            Self::Hybrid => role != Role::Traditional,
            Self::ControlPlane => role == Role::ControlPlane,
            Self::DataPlane => role == Role::DataPlane,
        }
    }

    /// For the documented default file.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Every => "every node",
            Self::Proxying => "traditional and data_plane nodes",
            Self::Administering => "traditional and control_plane nodes",
            Self::Hybrid => "control_plane and data_plane nodes",
            Self::ControlPlane => "control_plane nodes",
            Self::DataPlane => "data_plane nodes",
        }
    }
}

/// What setting a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It takes effect.
    Full,
    /// Understood, and rightly nothing to do here; the text says why.
    None(&'static str),
    /// Understood, and what it asks for does not happen; the text says so at
    /// every start.
    Missing(&'static str),
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name, as written in the file.
    pub name: &'static str,
    /// The heading it stands under in the documented default file.
    pub section: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its default as text; empty when unset by default.
    pub default: &'static str,
    /// Whether the value must not be shown.
    pub secret: bool,
    /// The nodes on which it has a meaning.
    pub scope: Scope,
    /// What setting it does.
    pub effect: Effect,
    /// What it is for, in plain sentences.
    pub doc: &'static str,
}

const KEYS: &[&[Key]] = &[
    Node::KEYS,
    Log::KEYS,
    Listen::KEYS,
    Tls::KEYS,
    Proxy::KEYS,
    Admin::KEYS,
    Cluster::KEYS,
    Fallback::KEYS,
    Database::KEYS,
    Postgres::KEYS,
    Replica::KEYS,
    Dns::KEYS,
    ACCEPTED,
];

/// Every key, section by section.
pub fn registry() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().copied().flatten()
}

/// The key with this name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    registry().find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_key_is_declared_once() {
        let mut seen = HashSet::new();
        for key in registry() {
            assert!(seen.insert(key.name), "{} is declared twice", key.name);
        }
    }

    #[test]
    fn every_key_says_what_it_is_for() {
        for key in registry() {
            if matches!(key.effect, Effect::Full) {
                assert!(
                    !key.doc.trim().is_empty(),
                    "{} has no documentation",
                    key.name
                );
            }
        }
    }
}
