//! A snapshot in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use keelgate_entities::Config;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::document::{self, Claims};
use crate::form::Form;
use crate::migration::MIGRATION;
use crate::{DecodeError, Fragments, Identity, Publication};

/// The whole configuration of a cluster at one moment: immutable, verified, cheap to clone.
#[derive(Clone)]
pub struct Snapshot(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) form: Arc<Form>,
    pub(crate) claims: Claims,
    pub(crate) config_hash: String,
    pub(crate) signed: bool,
}

impl Snapshot {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub(crate) fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// What tells it from other snapshots.
    pub fn identity(&self) -> &Identity {
        &self.0.claims.identity
    }

    /// The whole document, as it goes over the wire (compressed), to disk and to the storage. Of a
    /// snapshot in fragments it is written when it is asked for the first time.
    pub fn document(&self) -> &Bytes {
        self.0.form.document().as_bytes()
    }

    /// The configuration: the exact bytes over which the identity's digest goes. As
    /// [`Self::document`], it may have to be written.
    pub fn config_json(&self) -> &str {
        self.0.form.config()
    }

    /// The length of the configuration, in bytes.
    pub fn config_bytes(&self) -> usize {
        self.0.form.config_bytes()
    }

    /// What stands in the document before the configuration.
    pub(crate) fn head(&self) -> &str {
        self.0.form.head()
    }

    /// Whether it was made of fragments.
    pub(crate) fn is_built(&self) -> bool {
        self.0.form.was_in_fragments()
    }

    /// The configuration in fragments; none where its text is not written as they would be. What was
    /// read as one text is taken apart when it is asked for the first time.
    pub fn fragments(&self) -> Option<&Fragments> {
        self.0.form.in_fragments()
    }

    /// Kong's hash of the configuration: 32 characters, hexadecimal when this software made it.
    pub fn config_hash(&self) -> &str {
        &self.0.config_hash
    }

    /// Version of the software that made it; empty when a Kong control plane made it.
    pub fn version(&self) -> &str {
        &self.0.claims.version
    }

    /// When it was made or last restated, by the clock of its maker; precise to the millisecond.
    pub fn created_at(&self) -> SystemTime {
        self.0.claims.created_at()
    }

    /// The same snapshot as of a later time, at which its unsigning maker is known to stand behind it:
    /// a control plane of Kong that is connected restates nothing by itself. None of a signed
    /// snapshot, which its maker alone can restate, and none of an earlier time.
    #[must_use]
    pub fn confirmed(&self, at: SystemTime) -> Option<Self> {
        let created_at = document::to_millis(at)?;
        if self.0.signed || created_at <= self.0.claims.created_at {
            return None;
        }
        let claims = Claims {
            created_at,
            ..self.0.claims.clone()
        };
        Some(Self::new(Parts {
            form: Arc::clone(&self.0.form),
            claims,
            config_hash: self.0.config_hash.clone(),
            signed: false,
        }))
    }

    /// The same snapshot in fragments, where its text is written as they would be: deltas lead on from
    /// it, and the next one shares with it what they have in common.
    #[must_use]
    pub fn taken_apart(self) -> Self {
        let Some(fragments) = self.fragments().cloned() else {
            return self;
        };
        Self::new(Parts {
            form: Arc::new(Form::fragments(self.head().to_owned(), fragments)),
            claims: self.0.claims.clone(),
            config_hash: self.0.config_hash.clone(),
            signed: self.0.signed,
        })
    }

    /// Who published it past the control plane, and why; none for what a control plane made.
    pub fn publication(&self) -> Option<&Publication> {
        self.0.claims.publication.as_ref()
    }

    /// Whether it carries a statement that was signed or verified by this process.
    pub fn is_signed(&self) -> bool {
        self.0.signed
    }

    /// Whether it configures nothing: it has no entities beside those that say whose it is.
    pub fn configures_nothing(&self) -> bool {
        /// More than these take, in bytes.
        const LONGEST: usize = 16 << 10;
        if self.config_bytes() > LONGEST {
            return false;
        }
        let Ok(Value::Object(tables)) = serde_json::from_str(self.config_json()) else {
            return false;
        };
        tables.iter().all(|(name, rows)| {
            name.starts_with('_')
                || matches!(name.as_str(), "workspaces" | "parameters")
                || rows.as_array().is_none_or(Vec::is_empty)
        })
    }

    /// The configuration as tables of this build: those of an older schema are migrated.
    ///
    /// # Errors
    ///
    /// When it is no object of collections.
    pub fn tables(&self) -> Result<Map<String, Value>, DecodeError> {
        let mut tables = serde_json::from_str(self.config_json())?;
        MIGRATION.apply(self.0.claims.schema, &mut tables);
        Ok(tables)
    }

    /// As [`Snapshot::tables`], with those collections alone whose names are wanted. The others are
    /// not even read.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::tables`].
    pub fn tables_of(
        &self,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<Map<String, Value>, DecodeError> {
        if !MIGRATION.is_newest(self.0.claims.schema) {
            let mut tables = self.tables()?;
            tables.retain(|name, _| is_wanted(name));
            return Ok(tables);
        }
        let mut tables = Map::new();
        if self.is_built()
            && let Some(fragments) = self.fragments()
        {
            for name in fragments.names().filter(|name| is_wanted(name)) {
                let text = fragments.value(name).unwrap_or_default();
                tables.insert(name.to_owned(), serde_json::from_str(&text)?);
            }
            return Ok(tables);
        }
        let texts: BTreeMap<String, &RawValue> = serde_json::from_str(self.config_json())?;
        for (name, text) in texts {
            if is_wanted(&name) {
                tables.insert(name, serde_json::from_str(text.get())?);
            }
        }
        Ok(tables)
    }

    /// The configuration in fragments, if its entities are those of this build.
    pub(crate) fn fragments_of_this_schema(&self) -> Option<&Fragments> {
        MIGRATION
            .is_newest(self.0.claims.schema)
            .then(|| self.fragments())?
    }

    /// The configuration in typed form.
    ///
    /// # Errors
    ///
    /// When an entity has a type that this build does not know; says where.
    pub fn decode(&self) -> Result<Config, DecodeError> {
        if MIGRATION.is_newest(self.0.claims.schema) {
            return Ok(serde_json::from_str(self.config_json())?);
        }
        Ok(serde_json::from_value(Value::Object(self.tables()?))?)
    }
}

impl fmt::Debug for Snapshot {
    /// The configuration holds secrets and is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("identity", self.identity())
            .field("config_hash", &self.0.config_hash)
            .field("bytes", &self.0.form.bytes())
            .field("signed", &self.0.signed)
            .finish_non_exhaustive()
    }
}
