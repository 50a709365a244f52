//! Why a snapshot does not compile.

use uuid::Uuid;

/// An entity that cannot become part of a runtime. The snapshot it came in is refused whole, or,
/// where only what leans on the entity is harmed, serves without it ([`crate::Runtime::flaws`]).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {}: {what}; {mend}", .name.clone().unwrap_or_else(|| .id.to_string()))]
pub struct CompileError {
    /// Kind of the entity, as the Admin API's collection is called.
    pub kind: &'static str,
    /// Id of the entity.
    pub id: Uuid,
    /// Name of the entity, if it has one.
    pub name: Option<String>,
    /// What is wrong with it.
    pub what: String,
    /// How to mend it.
    pub mend: &'static str,
}

impl From<keelgate_router::CompileError> for CompileError {
    fn from(error: keelgate_router::CompileError) -> Self {
        Self {
            kind: "routes",
            id: error.id,
            name: error.name,
            what: error.what,
            mend: error.mend,
        }
    }
}
