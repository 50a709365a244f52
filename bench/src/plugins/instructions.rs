//! Instructions of requests, counted by Valgrind.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Cost;
use crate::load::Load;
use crate::process::Process;

/// Where counts are written; each one gets a number.
const COUNTS: &str = "counts";

/// The program under Valgrind, which counts nothing yet.
pub(super) fn command(directory: &Path, program: &Path) -> Command {
    let mut file = OsStr::new("--callgrind-out-file=").to_owned();
    file.push(directory.join(COUNTS));
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--instr-atstart=no"])
        .arg(file)
        .arg(program);
    command
}

/// Instructions per request. Threads are not told apart.
pub(super) fn per_request(
    process: &Process,
    directory: &Path,
    load: &Load,
    duration: Duration,
) -> anyhow::Result<Cost> {
    control(process, &["-i", "on"])?;
    load.run(duration / 4, None).context("warm-up")?;
    // What was counted so far goes into a file of its own.
    control(process, &["-d"])?;
    let outcome = load.run(duration, None)?;
    control(process, &["-d"])?;
    Ok(Cost {
        serving: newest(directory)? as f64 / outcome.requests as f64,
        beside: 0.0,
    })
}

fn control(process: &Process, arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("callgrind_control")
        .args(arguments)
        .arg(process.id().to_string())
        .stdout(Stdio::null())
        .status()
        .context("callgrind_control comes with Valgrind")?;
    ensure!(status.success(), "callgrind_control {arguments:?} {status}");
    Ok(())
}

/// The count that was written last.
fn newest(directory: &Path) -> anyhow::Result<u64> {
    let mut newest = (0, directory.join(COUNTS));
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let number = name.strip_prefix(COUNTS).and_then(|rest| {
            let number = rest.strip_prefix('.')?;
            number.parse::<u64>().ok()
        });
        if let Some(number) = number
            && number > newest.0
        {
            newest = (number, path);
        }
    }
    let text = std::fs::read_to_string(&newest.1)?;
    let total = text.lines().find_map(|line| {
        let total = line.strip_prefix("totals: ");
        total.or_else(|| line.strip_prefix("summary: "))
    });
    let total = total.context("a count without a total")?;
    Ok(total.trim().parse()?)
}
