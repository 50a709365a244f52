//! From the tables of an older schema to those of this build.
//!
//! Schema 1 is the first one: there is nothing older yet, so the list of steps is empty. A change of
//! the meaning of tables (a renamed collection, a field that moves) counts [`SCHEMA`] up and adds the
//! step that brings older tables up to it; a new collection or field with a default needs neither.

use serde_json::{Map, Value};

use crate::{SCHEMA, VerifyError};

/// Brings the tables of one schema to the next.
type Step = fn(&mut Map<String, Value>);

/// The steps up to a schema: the last one leads to it.
pub(crate) struct Migration<'a> {
    newest: u32,
    steps: &'a [Step],
}

/// What this build reads.
pub(crate) const MIGRATION: Migration<'static> = Migration {
    newest: SCHEMA,
    steps: &[],
};

impl Migration<'_> {
    /// The oldest schema with a way up.
    fn oldest(&self) -> u32 {
        let steps = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        self.newest.saturating_sub(steps)
    }

    /// Refuses what cannot be read.
    pub(crate) fn check(&self, found: u32) -> Result<(), VerifyError> {
        let (oldest, newest) = (self.oldest(), self.newest);
        if found < oldest {
            return Err(VerifyError::SchemaTooOld { found, oldest });
        }
        if found > newest {
            return Err(VerifyError::SchemaTooNew { found, newest });
        }
        Ok(())
    }

    /// Whether tables of this schema are those of this build.
    pub(crate) fn is_newest(&self, found: u32) -> bool {
        found == self.newest
    }

    /// Brings tables up to the newest schema. They are of one that was checked.
    pub(crate) fn apply(&self, found: u32, tables: &mut Map<String, Value>) {
        let passed = found.saturating_sub(self.oldest());
        let passed = usize::try_from(passed).unwrap_or(usize::MAX);
        for step in self.steps.iter().skip(passed) {
            step(tables);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Schema 5 as if 3 had called services `apis`, and 4 had written their hosts as `upstream`.
    const SYNTHETIC: Migration<'static> = Migration {
        newest: 5,
        steps: &[
            |tables| {
                if let Some(apis) = tables.remove("apis") {
                    tables.insert("services".to_owned(), apis);
                }
            },
            |tables| {
                let services = tables.get_mut("services").and_then(Value::as_array_mut);
                for service in services.into_iter().flatten() {
                    service["host"] = service["upstream"].take();
                }
            },
        ],
    };

    fn migrated(found: u32, mut tables: Value) -> Value {
        SYNTHETIC.check(found).unwrap();
        SYNTHETIC.apply(found, tables.as_object_mut().unwrap());
        tables["services"][0]["host"].clone()
    }

    #[test]
    fn each_older_schema_takes_the_steps_that_it_lacks() {
        let hosts = [
            migrated(3, json!({"apis": [{"upstream": "a"}]})),
            migrated(4, json!({"services": [{"upstream": "a"}]})),
            migrated(5, json!({"services": [{"host": "a"}]})),
        ];
        assert_eq!(hosts, [json!("a"), json!("a"), json!("a")]);
    }

    #[test]
    fn what_has_no_way_up_is_refused_by_its_number() {
        assert!(matches!(
            SYNTHETIC.check(2),
            Err(VerifyError::SchemaTooOld {
                found: 2,
                oldest: 3
            })
        ));
        assert!(matches!(
            SYNTHETIC.check(6),
            Err(VerifyError::SchemaTooNew {
                found: 6,
                newest: 5
            })
        ));
    }

    #[test]
    fn this_build_reads_its_own_schema_and_there_is_none_before_the_first() {
        assert!(MIGRATION.check(SCHEMA).is_ok() && MIGRATION.is_newest(SCHEMA));
        assert_eq!(MIGRATION.oldest(), 1);
        assert!(MIGRATION.check(0).is_err() && MIGRATION.check(SCHEMA + 1).is_err());
    }
}
