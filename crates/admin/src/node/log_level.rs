//! `/debug/…/log-level`.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::admin::{Admin, Mode, State};
use crate::arguments::Arguments;
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

/// Seconds that a changed level holds, where the request does not say.
const DEFAULT_TIMEOUT: f64 = 60.0;

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
    let given = timeout(&call).await?;
    if given < 0.0 {
        return Err(Failure::bad_request(
            "timeout must be greater than or equal to 0",
        ));
    }
    // 0 keeps the level until it is changed again.
    let time = Duration::try_from_secs_f64(given).ok();
    let time = time.filter(|time| !time.is_zero());
    let message = if (state.admin.log.level)() == level {
        format!("log level is already {level}")
    } else {
        (state.admin.log.set_level)(level, time);
        "log level changed".to_owned()
    };
    Ok(respond::ok(&json!({ "message": message })))
}

/// The seconds that a request names, in its address or in its body.
async fn timeout(call: &Call) -> Result<f64, Failure> {
    let body = Arguments::read(call).await?.raw();
    let in_body = body.get("timeout").and_then(|value| match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    });
    let in_query = call.query("timeout").map(str::trim);
    let seconds: Option<f64> = in_query.and_then(|text| text.parse().ok()).or(in_body);
    let seconds = seconds.filter(|seconds| !seconds.is_nan());
    Ok(seconds.unwrap_or(DEFAULT_TIMEOUT).ceil())
}
