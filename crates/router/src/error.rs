//! Why routes do not compile.

use keelgate_entities::kinds::Route;
use uuid::Uuid;

/// A route that cannot become part of a router.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("route {}: {what}; {mend}", .name.clone().unwrap_or_else(|| .id.to_string()))]
pub struct CompileError {
    /// Id of the route.
    pub id: Uuid,
    /// Name of the route, if it has one.
    pub name: Option<String>,
    /// What is wrong, and where.
    pub what: String,
    /// How to mend it.
    pub mend: &'static str,
}

impl CompileError {
    pub(crate) fn new(route: &Route, what: String, mend: &'static str) -> Self {
        Self {
            id: route.id,
            name: route.name.clone(),
            what,
            mend,
        }
    }
}
