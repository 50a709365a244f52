//! `keelgate status`: what a running node serves, from where, and what it tried.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use keelgate_settings::{Listener, Settings};
use serde_json::Value;

use super::sources::Sources;

const NAME: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Options of `keelgate status`.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    sources: Sources,
    /// Print the report as the status API gives it.
    #[arg(long)]
    json: bool,
}

/// Asks the status API of the node and prints the report. Fails when the node does not answer, or
/// serves nothing.
pub(crate) fn status(arguments: &StatusArgs) -> Result<()> {
    let settings = arguments.sources.loader().load()?.settings;
    let report = fetch(&settings)?;
    if arguments.json {
        anstream::println!("{report:#}");
    } else {
        print(&report);
    }
    if report["source"]["serving"].is_null() {
        bail!("the node serves no configuration");
    }
    Ok(())
}

fn fetch(settings: &Settings) -> Result<Value> {
    // In clear only: a certificate for whatever name the listener has cannot be verified from here.
    let Some(listener) = settings
        .listen
        .status_listen
        .iter()
        .find(|listener| !listener.ssl)
    else {
        bail!("status_listen has no listener in clear: add one, such as 127.0.0.1:8007");
    };
    let url = url(listener);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .build()?;
        let answer = client
            .get(&url)
            .send()
            .await
            .with_context(|| format!("the node does not answer at {url}: is it running?"))?;
        let mut status: Value = answer
            .json()
            .await
            .with_context(|| format!("{url} is no status API"))?;
        Ok(status["keelgate"].take())
    })
}

fn url(listener: &Listener) -> String {
    // A wildcard address is no address to connect to.
    let host = match listener.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    format!("http://{host}:{}/status", listener.port)
}

fn print(report: &Value) {
    line(
        "node",
        &format!(
            "{}, {} {}",
            text(&report["node_id"]),
            text(&report["role"]),
            text(&report["version"])
        ),
    );
    print_source(&report["source"]);
    for flaw in report["flaws"].as_array().into_iter().flatten() {
        line("not served", &format!("{BAD}{}{BAD:#}", text(flaw)));
    }
    for storage in report["fallback"].as_array().into_iter().flatten() {
        print_backup(storage);
    }
    if let Some(planes) = report["data_planes"].as_object() {
        line(
            "data planes",
            &format!(
                "{} connected, {} known",
                planes["connected"], planes["known"]
            ),
        );
    }
}

fn print_source(source: &Value) {
    let serving = &source["serving"];
    if serving.is_null() {
        line("serving", &format!("{BAD}nothing{BAD:#}"));
    } else {
        let identity = &serving["identity"];
        let origin = serving["origin"]
            .as_str()
            .map(|origin| format!(" ({origin})"))
            .unwrap_or_default();
        line(
            "serving",
            &format!("{GOOD}{}{GOOD:#}{origin}", text(&serving["source"])),
        );
        let mut told = format!(
            "{}-{}-{}, made {} ago",
            identity["epoch"],
            identity["revision"],
            text(&identity["sha256"]).get(..12).unwrap_or_default(),
            since(&serving["created_at"]),
        );
        // A control plane hands it to data planes and serves no requests with it.
        if serving["since"].is_number() {
            told.push_str(&format!(", served for {}", since(&serving["since"])));
        }
        line("snapshot", &told);
    }
    if let Some(state) = source["state"].as_str() {
        let stale = if source["stale"] == true {
            format!(", {BAD}stale: older than cluster_fallback_config_max_age{BAD:#}")
        } else if source["potentially_stale"] == true {
            ", potentially stale".to_owned()
        } else {
            String::new()
        };
        line(
            "state",
            &format!("{state} for {}{stale}", since(&source["state_since"])),
        );
        let control_plane = source["control_plane"].as_str();
        line(
            "control plane",
            &control_plane.map_or(format!("{BAD}not connected{BAD:#}"), str::to_owned),
        );
    }
    for tried in source["tried"].as_array().into_iter().flatten() {
        let times = match tried["times"].as_u64() {
            Some(times) if times > 1 => format!(" ({times} times)"),
            _ => String::new(),
        };
        line(
            "tried",
            &format!(
                "{} ago: {}{times}",
                since(&tried["at"]),
                text(&tried["message"])
            ),
        );
    }
}

fn print_backup(storage: &Value) {
    let state = text(&storage["state"]);
    let style = match state {
        "stored" | "following" => GOOD,
        "retrying" | "blocked" => BAD,
        _ => Style::new(),
    };
    line(
        "backup",
        &format!("{}: {style}{state}{style:#}", text(&storage["storage"])),
    );
    let leader = match storage["leader"].as_str() {
        _ if storage["leading"] == true => {
            format!("this node writes for {}", since(&storage["leading_since"]))
        }
        Some(leader) => format!("{leader} writes"),
        None => "nobody is known to write".to_owned(),
    };
    let fencing = match storage["fencing"].as_str() {
        Some("none") => format!("{BAD}fencing: none{BAD:#}, the storage cannot compare"),
        Some(mode) => format!("fencing: {mode}"),
        None => "fencing: not known yet".to_owned(),
    };
    line("", &format!("{leader}; {fencing}"));
    let success = &storage["last_success"];
    if success.is_object() {
        let identity = &success["identity"];
        let mut told = format!(
            "{}-{} seen stored {} ago",
            identity["epoch"],
            identity["revision"],
            since(&success["at"])
        );
        if let Some(bytes) = storage["bytes"].as_u64() {
            told.push_str(&format!(", {}", size(bytes)));
        }
        if let Some(latency) = storage["latency_ms"].as_u64() {
            told.push_str(&format!(", written in {latency} ms"));
        }
        line("", &told);
    }
    if storage["last_attempt"].is_number() {
        let told = format!("last attempt {} ago", since(&storage["last_attempt"]));
        line("", &told);
    }
    let failures: Vec<String> = storage["failures"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(kind, times)| format!("{kind} {times}"))
        .collect();
    if !failures.is_empty() {
        line("", &format!("failures: {}", failures.join(", ")));
    }
    if let Some(error) = storage["last_error"]["message"].as_str() {
        line(
            "",
            &format!(
                "{BAD}{error}{BAD:#} ({} ago)",
                since(&storage["last_error"]["at"])
            ),
        );
    }
}

/// Bytes in the unit that suits them.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn line(name: &str, text: &str) {
    anstream::println!("{NAME}{name:<14}{NAME:#} {text}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}

/// The time since a point given in seconds since 1970.
fn since(value: &Value) -> String {
    let Some(at) = value.as_f64() else {
        return "an unknown time".to_owned();
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    let seconds = (now - at).max(0.0) as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_listener_is_asked_over_loopback() {
        let settings = keelgate_settings::Loader::new()
            .option("prefix", "/tmp/unused", "--test")
            .option("status_listen", "0.0.0.0:8107, [::]:8108", "--test")
            .load()
            .unwrap()
            .settings;
        let urls: Vec<_> = settings.listen.status_listen.iter().map(url).collect();
        assert_eq!(
            urls,
            ["http://127.0.0.1:8107/status", "http://[::1]:8108/status"]
        );
    }
}
