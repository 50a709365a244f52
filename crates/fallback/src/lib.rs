//! Backup storage: layout, publisher, election, fetcher and history
