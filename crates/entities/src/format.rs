//! Checks of the texts that entities hold: hosts, paths, URLs, names, certificates.
//!
//! A check answers `Ok` or the message that Kong's Admin API tells.

pub(crate) mod host;
pub(crate) mod name;
pub(crate) mod path;
pub(crate) mod pem;
pub(crate) mod url;
