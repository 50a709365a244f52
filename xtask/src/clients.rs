//! Programs that others have published for Kong's Admin API, and one that tries an API by its
//! description, for the end-to-end tests.
//!
//! | package | is |
//! |---|---|
//! | aio-kong | a client library, as Python programs use it |
//! | schemathesis | makes up requests from an OpenAPI description |
//!
//! They are pinned, installed from Python's package index, and kept in the directory of tools.

use anyhow::Result;

use crate::storage_server::python;

/// Gets the programs; the variables by which tests find them.
pub(crate) fn get() -> Result<Vec<(&'static str, String)>> {
    let aio_kong = python::install("aio-kong", "3.7.2", "")?.join("bin/python");
    let schemathesis = python::install("schemathesis", "4.32.5", "")?.join("bin/schemathesis");
    Ok(vec![
        ("KEELGATE_TEST_AIO_KONG", aio_kong.display().to_string()),
        (
            "KEELGATE_TEST_SCHEMATHESIS",
            schemathesis.display().to_string(),
        ),
    ])
}
