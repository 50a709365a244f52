//! The tables, and the steps in which they came to be.
//!
//! All names begin with `keelgate_`, so that the tables can stand beside those of Kong.

/// A change of the tables. It leaves them usable for the version before, so that nodes of both
/// versions run beside one another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Its name, which the database remembers.
    pub(super) name: &'static str,
    /// Statements.
    pub(super) up: &'static str,
}

/// All steps, in order. Only ever add to the end.
pub(super) const STEPS: &[Step] = &[
    Step {
        name: "000_base",
        up: BASE,
    },
    Step {
        name: "010_audit",
        up: AUDIT,
    },
    Step {
        name: "020_records",
        up: RECORDS,
    },
];

const BASE: &str = r#"
    -- One row: who the cluster is, and where it stands. Every writer locks it before it reads
    -- anything else, and holds it until its commit.
    CREATE TABLE keelgate_cluster (
        only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
        cluster_id TEXT NOT NULL,
        epoch BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        -- The revision that last removed everything.
        cleared_by BIGINT NOT NULL
    );

    -- What was committed, when (milliseconds since 1970), under which mark of its writer.
    CREATE TABLE keelgate_revisions (
        revision BIGINT PRIMARY KEY,
        committed_at BIGINT NOT NULL,
        mark TEXT NOT NULL
    );

    CREATE TABLE keelgate_entities (
        kind TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        body TEXT NOT NULL,
        -- Milliseconds since 1970.
        expires_at BIGINT,
        -- The revision that wrote it.
        revision BIGINT NOT NULL,
        PRIMARY KEY (kind, id)
    );
    CREATE INDEX keelgate_entities_by_expiry ON keelgate_entities (expires_at)
        WHERE expires_at IS NOT NULL;
    CREATE INDEX keelgate_entities_by_revision ON keelgate_entities (revision);

    -- What the last revisions removed, for those who follow the changes.
    CREATE TABLE keelgate_removals (
        revision BIGINT NOT NULL,
        kind TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (revision, kind, id)
    );

    CREATE TABLE keelgate_unique_keys (
        kind TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        value TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (kind, name, value)
    );
    CREATE INDEX keelgate_unique_keys_by_entity ON keelgate_unique_keys (kind, id);

    CREATE TABLE keelgate_references (
        kind TEXT COLLATE "C" NOT NULL,
        field TEXT COLLATE "C" NOT NULL,
        target_kind TEXT COLLATE "C" NOT NULL,
        target_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (kind, field, target_id, id)
    );
    CREATE INDEX keelgate_references_by_target
        ON keelgate_references (target_kind, target_id, kind, field, id);
    CREATE INDEX keelgate_references_by_entity ON keelgate_references (kind, id);

    CREATE TABLE keelgate_tags (
        tag TEXT COLLATE "C" NOT NULL,
        kind TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (tag, kind, id)
    );
    CREATE INDEX keelgate_tags_by_entity ON keelgate_tags (kind, id);

    -- A new database is a new cluster, at its first epoch and before its first revision.
    INSERT INTO keelgate_cluster (cluster_id, epoch, revision, cleared_by)
        VALUES (gen_random_uuid()::text, 1, 0, 0);
    INSERT INTO keelgate_revisions (revision, committed_at, mark)
        VALUES (0, (extract(epoch FROM now()) * 1000)::bigint, gen_random_uuid()::text);
"#;

const AUDIT: &str = "
    -- Who made which revision; `at` counts milliseconds since 1970.
    CREATE TABLE keelgate_audit (
        revision BIGINT PRIMARY KEY,
        at BIGINT NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX keelgate_audit_by_time ON keelgate_audit (at);
";

const RECORDS: &str = "
    -- What gateways count; `expires_at` in milliseconds since 1970.
    CREATE TABLE keelgate_counters (
        key BYTEA PRIMARY KEY,
        value BIGINT NOT NULL,
        expires_at BIGINT NOT NULL
    );
    CREATE INDEX keelgate_counters_by_expiry ON keelgate_counters (expires_at);

    -- Short-lived records are of no revision: those who follow the changes are not told of them.
    UPDATE keelgate_entities SET revision = 0 WHERE kind = 'oauth2_tokens';
";

/// Remembers the steps that were made.
pub(super) const MIGRATIONS: &str = r#"
    CREATE TABLE IF NOT EXISTS keelgate_migrations (
        name TEXT COLLATE "C" PRIMARY KEY,
        executed_at TIMESTAMPTZ NOT NULL DEFAULT now()
    )
"#;

/// Removes everything that the steps have made.
pub(super) const RESET: &str = "
    DROP TABLE IF EXISTS keelgate_migrations, keelgate_cluster, keelgate_revisions,
        keelgate_entities, keelgate_removals, keelgate_unique_keys, keelgate_references,
        keelgate_tags, keelgate_audit, keelgate_counters
";
