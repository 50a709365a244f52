//! Queries, for readers and for the writer's transactions.

use std::time::SystemTime;

use keelgate_entities::{Object, Schemas};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use uuid::Uuid;

use crate::journal::{EntityKey, MOST_EXPIRING};
use crate::rows::Referrer;
use crate::unix_time::milliseconds;
use crate::{
    Page, PageRequest, Position, StoreError, TagFilter, TagPage, TaggedEntity, body, offset,
};

pub(super) fn position(connection: &Connection) -> Result<Position, StoreError> {
    let cluster_id: String = connection
        .prepare_cached("SELECT value FROM meta WHERE name = 'cluster_id'")?
        .query_row([], |row| row.get(0))?;
    let cluster_id = Uuid::parse_str(&cluster_id).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })?;
    let epoch = connection
        .prepare_cached("SELECT value FROM meta WHERE name = 'epoch'")?
        .query_row([], |row| row.get::<_, i64>(0))?;
    let revision = connection
        .prepare_cached("SELECT max(revision) FROM revisions")?
        .query_row([], |row| row.get::<_, i64>(0))?;
    Ok(Position {
        cluster_id,
        epoch: epoch.unsigned_abs(),
        revision: revision.unsigned_abs(),
    })
}

pub(super) fn get(
    connection: &Connection,
    kind: &str,
    id: &str,
) -> Result<Option<Object>, StoreError> {
    get_at(connection, kind, id, milliseconds(SystemTime::now()))
}

pub(super) fn exists(connection: &Connection, kind: &str, id: &str) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM entities WHERE kind = ?1 AND id = ?2")?
        .exists([kind, id])?)
}

pub(super) fn owner(
    connection: &Connection,
    kind: &str,
    key: &str,
    value: &str,
) -> Result<Option<String>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT id FROM unique_keys WHERE kind = ?1 AND name = ?2 AND value = ?3")?
        .query_row([kind, key, value], |row| row.get(0))
        .optional()?)
}

pub(super) fn referrers(
    connection: &Connection,
    kind: &str,
    id: &str,
) -> Result<Vec<Referrer>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, field, id FROM refs WHERE target_kind = ?1 AND target_id = ?2
         ORDER BY kind, field, id",
    )?;
    let rows = statement.query_map([kind, id], |row| {
        Ok(Referrer {
            kind: row.get(0)?,
            field: row.get(1)?,
            id: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All entities of a kind as they stood at a moment, in milliseconds since 1970.
pub(super) fn all(connection: &Connection, kind: &str, at: i64) -> Result<Vec<Object>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT id, body, expires_at FROM entities WHERE kind = ?1 ORDER BY id")?;
    let rows = statement.query_map([kind], stored)?;
    rows.map(|row| parse_at(kind, row?, at)).collect()
}

/// An entity as it stood at a moment, in milliseconds since 1970.
pub(super) fn get_at(
    connection: &Connection,
    kind: &str,
    id: &str,
    at: i64,
) -> Result<Option<Object>, StoreError> {
    connection
        .prepare_cached("SELECT id, body, expires_at FROM entities WHERE kind = ?1 AND id = ?2")?
        .query_row([kind, id], stored)
        .optional()?
        .map(|row| parse_at(kind, row, at))
        .transpose()
}

/// The entities of the configuration whose time runs out; none where they are many.
pub(super) fn expiring(
    connection: &Connection,
    schemas: &Schemas,
) -> Result<Option<Vec<EntityKey>>, StoreError> {
    let sql = format!(
        "SELECT kind, id FROM entities INDEXED BY entities_expiring
         WHERE expires_at IS NOT NULL AND kind = ?1 LIMIT {}",
        MOST_EXPIRING + 1
    );
    let mut keys = Vec::new();
    for schema in schemas.kinds() {
        if !schema.ttl || schema.record {
            continue;
        }
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map([schema.name], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for key in rows {
            keys.push(key?);
        }
    }
    Ok((keys.len() <= MOST_EXPIRING).then_some(keys))
}

/// When the newest revision was committed, in milliseconds since 1970.
pub(super) fn committed_at(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection
        .prepare_cached("SELECT committed_at FROM revisions ORDER BY revision DESC LIMIT 1")?
        .query_row([], |row| row.get(0))?)
}

pub(super) fn page(
    connection: &Connection,
    kind: &str,
    request: &PageRequest,
) -> Result<Page, StoreError> {
    let after = match &request.offset {
        Some(token) => {
            let [id] = offset::decode::<1>(token)?;
            id
        }
        None => String::new(),
    };
    let mut sql = String::from(
        "SELECT e.id, e.body, e.expires_at FROM entities e WHERE e.kind = ? AND e.id > ?",
    );
    let mut values: Vec<String> = vec![kind.to_owned(), after];
    if let Some(parent) = &request.parent {
        sql.push_str(
            " AND e.id IN (SELECT r.id FROM refs r
                           WHERE r.kind = e.kind AND r.field = ? AND r.target_id = ?)",
        );
        values.extend([parent.field.clone(), parent.id.clone()]);
    }
    match &request.tags {
        Some(TagFilter::All(tags)) => {
            for tag in tags {
                sql.push_str(
                    " AND EXISTS (SELECT 1 FROM tags t
                                  WHERE t.tag = ? AND t.kind = e.kind AND t.id = e.id)",
                );
                values.push(tag.clone());
            }
        }
        Some(TagFilter::Any(tags)) => {
            let marks = vec!["?"; tags.len()].join(",");
            sql.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM tags t
                              WHERE t.tag IN ({marks}) AND t.kind = e.kind AND t.id = e.id)"
            ));
            values.extend(tags.iter().cloned());
        }
        None => {}
    }
    // One more than asked for tells whether there is a next page.
    sql.push_str(&format!(" ORDER BY e.id LIMIT {}", request.size + 1));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement
        .query_map(params_from_iter(values), stored)?
        .collect::<Result<Vec<_>, _>>()?;
    let offset = (rows.len() > request.size).then(|| {
        rows.truncate(request.size);
        rows.last().map(|row| offset::encode(&[&row.id]))
    });
    Ok(Page {
        data: rows
            .into_iter()
            .map(|row| parse(kind, row))
            .collect::<Result<_, _>>()?,
        offset: offset.flatten(),
    })
}

pub(super) fn tagged(
    connection: &Connection,
    tag: Option<&str>,
    size: usize,
    token: Option<&str>,
) -> Result<TagPage, StoreError> {
    let after = match token {
        Some(token) => offset::decode::<3>(token)?,
        None => Default::default(),
    };
    let mut sql = String::from("SELECT tag, kind, id FROM tags WHERE (tag, kind, id) > (?, ?, ?)");
    let mut values = Vec::from(after);
    if let Some(tag) = tag {
        sql.push_str(" AND tag = ?");
        values.push(tag.to_owned());
    }
    sql.push_str(&format!(" ORDER BY tag, kind, id LIMIT {}", size + 1));
    let mut statement = connection.prepare_cached(&sql)?;
    let data = statement
        .query_map(params_from_iter(values), |row| {
            Ok(TaggedEntity {
                tag: row.get(0)?,
                kind: row.get(1)?,
                id: row.get(2)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(TagPage::cut(data, size))
}

/// Entities whose time has come: kind and id.
pub(super) fn expired(
    connection: &Connection,
    now: i64,
) -> Result<Vec<(String, String)>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT kind, id FROM entities WHERE expires_at <= ?1")?;
    let rows = statement.query_map([now], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// An entity as its row holds it.
struct Stored {
    id: String,
    body: String,
    expires_at: Option<i64>,
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        id: row.get(0)?,
        body: row.get(1)?,
        expires_at: row.get(2)?,
    })
}

fn parse(kind: &str, row: Stored) -> Result<Object, StoreError> {
    parse_at(kind, row, milliseconds(SystemTime::now()))
}

fn parse_at(kind: &str, row: Stored, now: i64) -> Result<Object, StoreError> {
    let left = row.expires_at.map(|expires_at| expires_at - now);
    body::parse(kind, &row.id, &row.body, left)
}
