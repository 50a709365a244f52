//! The plugin interface and one module per plugin.
//!
//! A plugin is compiled once per configuration ([`Plugin`]) and then walks with many requests at
//! once. Phases run in Kong's order: `certificate`, `rewrite`, `access`, `header_filter`,
//! `body_filter`, `log`; within a phase, plugins with a higher priority run first.

pub mod directory;
pub mod exchange;
pub mod plugin;
pub mod response;

pub use directory::Directory;
pub use exchange::Exchange;
pub use plugin::{Access, Flow, Phases, Plugin};
pub use response::Response;
