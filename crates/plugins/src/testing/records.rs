//! Records in memory, without a clock: nothing expires.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use keelgate_entities::{Object, Schemas};
use serde_json::Value;

use crate::Registry;
use crate::records::{Amount, Answer, Counted, NewRecord, RecordId, Records, RecordsError};

/// Records of a test. While they are away, every question fails.
pub(crate) struct InMemory {
    schemas: Schemas,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    records: HashMap<&'static str, Vec<(Object, Option<Duration>)>>,
    counters: HashMap<Vec<u8>, i64>,
    is_away: bool,
    generation: u64,
}

impl InMemory {
    pub(crate) fn new() -> Self {
        Self {
            schemas: Schemas::new(Registry::schemas()),
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    pub(crate) fn go_away(&self) {
        self.held().is_away = true;
    }

    /// All records of a kind, with how long each lasts.
    pub(crate) fn all(&self, kind: &str) -> Vec<(Object, Option<Duration>)> {
        self.held().records.get(kind).cloned().unwrap_or_default()
    }

    /// Changes a field of all records of a kind.
    pub(crate) fn set(&self, kind: &str, field: &str, value: &Value) {
        let mut held = self.held();
        held.generation += 1;
        for (record, _) in held.records.get_mut(kind).into_iter().flatten() {
            record.insert(field.to_owned(), value.clone());
        }
    }

    pub(crate) fn counters(&self) -> HashMap<Vec<u8>, i64> {
        self.held().counters.clone()
    }

    fn answer<T: Send + 'static>(&self, ask: impl FnOnce(&mut Held) -> T) -> Answer<T> {
        let mut held = self.held();
        let answer = match held.is_away {
            true => Err(RecordsError("away".to_owned())),
            false => Ok(ask(&mut held)),
        };
        Box::pin(ready(answer))
    }
}

fn is(record: &Object, field: &str, value: &str) -> bool {
    record.get(field).and_then(Value::as_str) == Some(value)
}

fn remove(held: &mut Held, record: &RecordId) -> bool {
    held.generation += 1;
    let all = held.records.entry(record.kind).or_default();
    let before = all.len();
    all.retain(|(other, _)| !is(other, "id", &record.id));
    all.len() < before
}

impl Records for InMemory {
    fn is_read_only(&self) -> bool {
        false
    }

    fn generation(&self) -> u64 {
        self.held().generation
    }

    fn find(&self, kind: &'static str, field: &'static str, value: &str) -> Answer<Option<Object>> {
        self.answer(|held| {
            let mut all = held.records.get(kind)?.iter();
            let found = all.find(|(record, _)| is(record, field, value));
            found.map(|(record, _)| record.clone())
        })
    }

    fn list(&self, kind: &'static str) -> Answer<Vec<Object>> {
        self.answer(|held| {
            let all = held.records.get(kind).into_iter().flatten();
            all.map(|(record, _)| record.clone()).collect()
        })
    }

    fn make(&self, record: NewRecord, instead_of: Option<RecordId>) -> Answer<Option<Object>> {
        self.answer(|held| {
            if instead_of.is_some_and(|other| !remove(held, &other)) {
                return None;
            }
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(super::NOW);
            let made = self.schemas.insert(record.kind, record.fields, now);
            let made = made.unwrap();
            let all = held.records.entry(record.kind).or_default();
            all.push((made.clone(), record.lasts));
            Some(made)
        })
    }

    fn change(
        &self,
        record: RecordId,
        fields: Object,
        lasts: Option<Duration>,
    ) -> Answer<Option<Object>> {
        self.answer(|held| {
            held.generation += 1;
            let mut all = held.records.entry(record.kind).or_default().iter_mut();
            let found = all.find(|(other, _)| is(other, "id", &record.id))?;
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(super::NOW);
            let changed = self.schemas.update(record.kind, &found.0, fields, now);
            *found = (changed.unwrap(), lasts);
            Some(found.0.clone())
        })
    }

    fn remove(&self, record: RecordId) -> Answer<bool> {
        self.answer(|held| remove(held, &record))
    }

    fn count(&self, amounts: Vec<Amount>) -> Answer<Counted> {
        self.answer(|held| {
            let counters = &mut held.counters;
            let before: Vec<i64> = amounts
                .iter()
                .map(|amount| counters.get(&amount.key).copied().unwrap_or(0))
                .collect();
            let mut all = amounts.iter().zip(&before);
            let fits =
                all.all(|(amount, held)| amount.limit.is_none_or(|limit| (*held as f64) < limit));
            for amount in amounts.iter().filter(|_| fits) {
                *counters.entry(amount.key.clone()).or_default() += amount.amount;
            }
            Counted { before, fits }
        })
    }

    fn counted(&self, keys: Vec<Vec<u8>>) -> Answer<Vec<i64>> {
        self.answer(|held| {
            let held = keys.iter().map(|key| held.counters.get(key));
            held.map(|count| count.copied().unwrap_or(0)).collect()
        })
    }
}
