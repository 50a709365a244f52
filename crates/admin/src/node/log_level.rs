//! `/debug/…/log-level`.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;

use crate::admin::{Admin, Mode, State};
use crate::call::Call;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Outcome, Routes};

const LEVELS: [&str; 9] = [
    "emerg",
    "alert",
    "crit",
    "error",
    "warn",
    "notice",
    "info",
    "debug",
    "debug_lua",
];

pub(super) fn add(routes: &mut Routes, admin: &Admin) {
    routes.on(Method::GET, "/debug/node/log-level", read);
    let cluster = if admin.node.is_control_plane {
        "/debug/cluster/control-planes-nodes/log-level/{log_level}"
    } else {
        "/debug/cluster/log-level/{log_level}"
    };
    for path in ["/debug/node/log-level/{log_level}", cluster] {
        routes.on(Method::PUT, path, write);
    }
}

async fn read(state: Arc<State>, _call: Call) -> Outcome {
    let level = (state.admin.log.level)();
    Ok(respond::ok(
        &json!({ "message": format!("log level: {level}") }),
    ))
}

async fn write(state: Arc<State>, call: Call) -> Outcome {
    if matches!(state.admin.mode, Mode::Dbless(_)) {
        return Err(Failure::message(
            StatusCode::METHOD_NOT_ALLOWED,
            "cannot change log level when not using a database",
        ));
    }
    let level = call.segment("log_level");
    if !LEVELS.contains(&level) {
        return Err(Failure::bad_request(format!("unknown log level: {level}")));
    }
    let message = if (state.admin.log.level)() == level {
        format!("log level is already {level}")
    } else {
        (state.admin.log.set_level)(level);
        "log level changed".to_owned()
    };
    Ok(respond::ok(&json!({ "message": message })))
}
