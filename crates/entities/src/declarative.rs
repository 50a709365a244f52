//! The declarative format: `kong.yml`, `POST /config` and the tables of the hybrid protocol.
//!
//! A document goes through four steps, and none of its entities counts before the last one
//! succeeded:
//!
//! 1. nested entities are collected into a flat list, ids are derived (`collect`, `ids`);
//! 2. each entity is completed and validated by its schema (`parse`);
//! 3. names in foreign keys become ids; duplicates and dangling references are found
//!    (`references`);
//! 4. derived fields are written.

mod collect;
mod dump;
mod error;
mod flatten;
mod ids;
mod legacy_paths;
mod parse;
mod references;
mod table;
mod unknown;
mod yaml;

pub use dump::dump;
pub use error::DeclarativeError;
pub use parse::{Draft, check, parse, parse_config_table};
pub use table::{Table, Wire};
pub use unknown::Unknown;
pub use yaml::{parse_text, to_yaml};
