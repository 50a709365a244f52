//! Queries, for readers and for the writer's transactions.

use keelgate_entities::{ApiError, Object};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::rows::{EntityKey, stored_value};
use super::session::Session;
use crate::rows::Referrer;
use crate::{
    Page, PageRequest, Position, StoreError, TagFilter, TagPage, TaggedEntity, body, offset,
};

/// Begins a transaction that only reads, and sees one revision all along.
pub(super) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Now, in milliseconds since 1970; one clock, the server's, for all nodes.
pub(super) const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Entities that are asked for at once where all are.
const ALL_AT_ONCE: i64 = 5000;

pub(super) fn position(session: &mut Session) -> Result<Position, StoreError> {
    let rows = session.query(
        "SELECT cluster_id, epoch, revision FROM keelgate_cluster",
        &[],
    )?;
    let row = rows.first().ok_or_else(no_cluster)?;
    position_of(row.get(0), row.get(1), row.get(2))
}

/// What stands in the one row of the cluster.
pub(super) fn position_of(
    cluster_id: &str,
    epoch: i64,
    revision: i64,
) -> Result<Position, StoreError> {
    let cluster_id = Uuid::parse_str(cluster_id).map_err(|error| {
        StoreError::Postgres(format!("keelgate_cluster holds no cluster id: {error}"))
    })?;
    Ok(Position {
        cluster_id,
        epoch: epoch.unsigned_abs(),
        revision: revision.unsigned_abs(),
    })
}

pub(super) fn no_cluster() -> StoreError {
    StoreError::NotBootstrapped("keelgate_cluster is empty".to_owned())
}

/// When the newest revision was committed, in milliseconds since 1970.
pub(super) fn committed_at(session: &mut Session) -> Result<i64, StoreError> {
    let rows = session.query(
        "SELECT committed_at FROM keelgate_revisions ORDER BY revision DESC LIMIT 1",
        &[],
    )?;
    rows.first().map(|row| row.get(0)).ok_or_else(no_cluster)
}

pub(super) fn get(
    session: &mut Session,
    kind: &str,
    id: &str,
) -> Result<Option<Object>, StoreError> {
    if !is_storable(id) {
        return Ok(None);
    }
    let sql = format!(
        "SELECT id, body, expires_at - {NOW} FROM keelgate_entities WHERE kind = $1 AND id = $2"
    );
    let rows = session.query(&sql, &[&kind, &id])?;
    rows.first().map(|row| entity(kind, row)).transpose()
}

/// The entity that holds a unique key.
pub(super) fn get_by_key(
    session: &mut Session,
    kind: &str,
    key: &str,
    value: &str,
) -> Result<Option<Object>, StoreError> {
    let sql = format!(
        "SELECT e.id, e.body, e.expires_at - {NOW}
         FROM keelgate_unique_keys u JOIN keelgate_entities e ON e.kind = u.kind AND e.id = u.id
         WHERE u.kind = $1 AND u.name = $2 AND u.value = $3"
    );
    let rows = session.query(&sql, &[&kind, &key, &stored_value(value)])?;
    rows.first().map(|row| entity(kind, row)).transpose()
}

pub(super) fn exists(session: &mut Session, kind: &str, id: &str) -> Result<bool, StoreError> {
    let sql = "SELECT FROM keelgate_entities WHERE kind = $1 AND id = $2";
    Ok(is_storable(id) && !session.query(sql, &[&kind, &id])?.is_empty())
}

/// Which of these entities there are.
pub(super) fn existing(
    session: &mut Session,
    entities: &[EntityKey],
) -> Result<Vec<EntityKey>, StoreError> {
    let storable = entities.iter().filter(|(_, id)| is_storable(id));
    let (kinds, ids): (Vec<&str>, Vec<&str>) = storable
        .map(|(kind, id)| (kind.as_str(), id.as_str()))
        .unzip();
    let rows = session.query(
        "SELECT kind, id FROM keelgate_entities
         WHERE (kind, id) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
        &[&kinds, &ids],
    )?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Who holds which of these unique keys of one kind: name, value and id.
pub(super) fn owners(
    session: &mut Session,
    kind: &str,
    keys: &[(String, String, String)],
) -> Result<Vec<(String, String, String)>, StoreError> {
    let (names, values): (Vec<&str>, Vec<&str>) = keys
        .iter()
        .map(|(_, name, value)| (name.as_str(), value.as_str()))
        .unzip();
    let rows = session.query(
        "SELECT name, value, id FROM keelgate_unique_keys
         WHERE kind = $1 AND (name, value) IN (SELECT * FROM unnest($2::text[], $3::text[]))",
        &[&kind, &names, &values],
    )?;
    let row = |row: &Row| (row.get(0), row.get(1), row.get(2));
    Ok(rows.iter().map(row).collect())
}

pub(super) fn owner(
    session: &mut Session,
    kind: &str,
    key: &str,
    value: &str,
) -> Result<Option<String>, StoreError> {
    let rows = session.query(
        "SELECT id FROM keelgate_unique_keys WHERE kind = $1 AND name = $2 AND value = $3",
        &[&kind, &key, &value],
    )?;
    Ok(rows.first().map(|row| row.get(0)))
}

pub(super) fn referrers(
    session: &mut Session,
    kind: &str,
    id: &str,
) -> Result<Vec<Referrer>, StoreError> {
    let rows = session.query(
        "SELECT kind, field, id FROM keelgate_references
         WHERE target_kind = $1 AND target_id = $2 ORDER BY kind, field, id",
        &[&kind, &id],
    )?;
    Ok(rows
        .iter()
        .map(|row| Referrer {
            kind: row.get(0),
            field: row.get(1),
            id: row.get(2),
        })
        .collect())
}

/// All entities of a kind, as they stand at a moment in milliseconds since 1970, or now.
pub(super) fn all(
    session: &mut Session,
    kind: &str,
    at: Option<i64>,
) -> Result<Vec<Object>, StoreError> {
    let sql = format!(
        "SELECT id, body, expires_at - coalesce($2, {NOW}) FROM keelgate_entities
         WHERE kind = $1 AND id > $3 ORDER BY id LIMIT {ALL_AT_ONCE}"
    );
    let mut entities = Vec::new();
    let mut after = String::new();
    loop {
        let rows = session.query(&sql, &[&kind, &at, &after])?;
        let Some(last) = rows.last() else {
            return Ok(entities);
        };
        after = last.get(0);
        for row in &rows {
            entities.push(entity(kind, row)?);
        }
    }
}

/// A statement that grows with the request, and its values.
struct Statement {
    sql: String,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Statement {
    /// Adds a value, and answers the mark that stands for it.
    fn value(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    fn run(&self, session: &mut Session) -> Result<Vec<Row>, StoreError> {
        let values: Vec<&(dyn ToSql + Sync)> = self
            .values
            .iter()
            .map(|value| value.as_ref() as &(dyn ToSql + Sync))
            .collect();
        session.query(&self.sql, &values)
    }
}

pub(super) fn page(
    session: &mut Session,
    kind: &str,
    request: &PageRequest,
) -> Result<Page, StoreError> {
    let after = match &request.offset {
        Some(token) => decoded::<1>(token)?[0].clone(),
        None => String::new(),
    };
    let mut statement = Statement {
        sql: String::new(),
        values: Vec::new(),
    };
    let (kind_mark, after) = (statement.value(kind.to_owned()), statement.value(after));
    statement.sql = format!(
        "SELECT id, body, expires_at - {NOW} FROM keelgate_entities e
         WHERE kind = {kind_mark} AND id > {after}"
    );
    if let Some(parent) = &request.parent {
        let field = statement.value(parent.field.clone());
        let id = statement.value(storable(&parent.id));
        statement.sql.push_str(&format!(
            " AND id IN (SELECT r.id FROM keelgate_references r
                         WHERE r.kind = {kind_mark} AND r.field = {field} AND r.target_id = {id})"
        ));
    }
    let conditions = match &request.tags {
        Some(TagFilter::All(tags)) => tags.iter().map(|tag| vec![storable(tag)]).collect(),
        Some(TagFilter::Any(tags)) => vec![tags.iter().map(|tag| storable(tag)).collect()],
        None => Vec::new(),
    };
    for tags in conditions {
        let tags = statement.value(tags);
        statement.sql.push_str(&format!(
            " AND EXISTS (SELECT FROM keelgate_tags t
                          WHERE t.tag = ANY ({tags}) AND t.kind = e.kind AND t.id = e.id)"
        ));
    }
    // One more than asked for tells whether there is a next page.
    let limit = statement.value(limit(request.size));
    statement
        .sql
        .push_str(&format!(" ORDER BY id LIMIT {limit}"));
    let mut rows = statement.run(session)?;
    let offset = (rows.len() > request.size).then(|| {
        rows.truncate(request.size);
        rows.last().map(|row| offset::encode(&[row.get(0)]))
    });
    Ok(Page {
        data: rows
            .iter()
            .map(|row| entity(kind, row))
            .collect::<Result<_, _>>()?,
        offset: offset.flatten(),
    })
}

pub(super) fn tagged(
    session: &mut Session,
    tag: Option<&str>,
    size: usize,
    token: Option<&str>,
) -> Result<TagPage, StoreError> {
    let [after_tag, kind, id] = match token {
        Some(token) => decoded::<3>(token)?,
        None => Default::default(),
    };
    let mut statement = Statement {
        sql: "SELECT tag, kind, id FROM keelgate_tags WHERE (tag, kind, id) > ($1, $2, $3)"
            .to_owned(),
        values: vec![Box::new(after_tag), Box::new(kind), Box::new(id)],
    };
    if let Some(tag) = tag {
        let tag = statement.value(storable(tag));
        statement.sql.push_str(&format!(" AND tag = {tag}"));
    }
    let limit = statement.value(limit(size));
    statement
        .sql
        .push_str(&format!(" ORDER BY tag, kind, id LIMIT {limit}"));
    let rows = statement.run(session)?;
    let data = rows
        .iter()
        .map(|row| TaggedEntity {
            tag: row.get(0),
            kind: row.get(1),
            id: row.get(2),
        })
        .collect();
    Ok(TagPage::cut(data, size))
}

fn limit(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1)
}

/// PostgreSQL's text has every character but the null.
fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

/// What cannot be stored is equal to nothing that is.
fn storable(text: &str) -> Option<String> {
    is_storable(text).then(|| text.to_owned())
}

fn decoded<const N: usize>(token: &str) -> Result<[String; N], StoreError> {
    let parts = offset::decode::<N>(token)?;
    match parts.iter().all(|part| is_storable(part)) {
        true => Ok(parts),
        false => Err(ApiError::invalid_offset(token, "bad json encoding").into()),
    }
}

fn entity(kind: &str, row: &Row) -> Result<Object, StoreError> {
    body::parse(kind, row.get(0), row.get(1), row.get(2))
}
