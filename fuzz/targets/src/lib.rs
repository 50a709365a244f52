//! What the fuzz targets of the parsers do with their input: one function per target, which panics where its
//! property does not hold.
//!
//! libFuzzer's programs in `fuzz/bin` call them with inputs that it seeks; the test `replay` with the seeds in
//! `fuzz/seeds` and with changes of them, on every run of the tests.
//!
//! Inputs of several parts are lines, so that seeds can be read and written by hand.

mod basic_auth;
mod declarative;
mod exchange;
mod grpc_web;
mod history_name;
mod hmac_auth;
mod input;
mod jwt;
mod location;
mod oauth2;
mod path;
mod router;
mod session;
mod snapshot_document;
mod snapshot_sealed;
mod snapshot_statement;
mod template;
mod trace_headers;

use keelgate_proxy::fuzzing as wire;

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("accepted_form", wire::accepted_form),
    ("basic_auth", basic_auth::run),
    ("basic_info", keelgate_sync::fuzzing::basic_info),
    ("chunked", |bytes| input::cut(bytes, wire::chunked)),
    ("conf_file", |bytes| {
        input::text(bytes, keelgate_settings::fuzzing::conf_file);
    }),
    ("declarative", |bytes| input::text(bytes, declarative::run)),
    ("grpc_web", grpc_web::run),
    ("history_name", |bytes| {
        input::text(bytes, history_name::run)
    }),
    ("hmac_auth", hmac_auth::run),
    ("jwt", jwt::run),
    ("location", |bytes| input::text(bytes, location::run)),
    ("log_format", |bytes| {
        input::text(bytes, |text| {
            let (format, sent) = text.split_once('\n').unwrap_or((text, ""));
            wire::log_format(format, sent);
        });
    }),
    ("oauth2", oauth2::run),
    ("path", |bytes| input::text(bytes, path::run)),
    ("proxy_header", wire::proxy_header),
    ("real_ip", |bytes| input::text(bytes, wire::real_ip)),
    ("request_head", |bytes| {
        input::cut(bytes, wire::request_head)
    }),
    ("response_head", |bytes| {
        input::cut(bytes, wire::response_head);
    }),
    ("router", |bytes| input::text(bytes, router::run)),
    ("session", session::run),
    ("snapshot_document", snapshot_document::run),
    ("snapshot_sealed", snapshot_sealed::run),
    ("snapshot_statement", |bytes| {
        input::text(bytes, snapshot_statement::run);
    }),
    ("template", template::run),
    ("trace_headers", trace_headers::run),
    ("trailers", wire::trailer_fields),
];

/// Hands an input to a target.
///
/// # Panics
/// When the property of the target does not hold, or there is no such target.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, run) = target.expect("every program in fuzz/bin is of a target");
    run(input);
}
