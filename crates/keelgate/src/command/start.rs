//! `keelgate start` and `restart`: a node in the foreground, or in the background
//! with this command returning when it is ready.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use keelgate_settings::{Loaded, LogTarget, Settings};
use rustix::process::{Pid, Signal};

use super::pid_file::{self, Claim, PidFile};
use super::sources::Sources;
use super::{migrations, print, stop};
use crate::handover::{self, Inheritance, Successor};
use crate::logging;
use crate::node::{self, Place};

/// Options of `keelgate start` and `restart`.
#[derive(Args, Debug)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    sources: Sources,
    /// Run here until the node is stopped, and log to standard error; as
    /// nginx_daemon = off.
    #[arg(long)]
    foreground: bool,
    /// Seconds to wait until the node is ready.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Set by `start` itself on the process that stays behind.
    #[arg(long, hide = true)]
    background: bool,
    /// Set by a running node on the process that it hands over to.
    #[arg(long, hide = true)]
    handover: bool,
    #[command(flatten)]
    kongs: KongsOptions,
}

/// Options of `keelgate restart`.
#[derive(Args, Debug)]
pub(crate) struct RestartArgs {
    /// Lose no connection: a new process of the program as it lies on the disk now takes over the
    /// listening sockets, and the old one ends after its requests.
    #[arg(long)]
    graceful: bool,
    #[command(flatten)]
    start: StartArgs,
}

/// Options of `kong start`. There is no nginx.
#[derive(Args, Debug)]
struct KongsOptions {
    #[arg(long, hide = true)]
    nginx_conf: Option<String>,
    #[arg(long, hide = true)]
    nginx_conf_flags: Option<String>,
    /// Make the tables of a PostgreSQL database first, or bring them to this version.
    #[arg(long)]
    run_migrations: bool,
    #[arg(long, hide = true)]
    db_timeout: Option<u64>,
    #[arg(long, hide = true)]
    lock_timeout: Option<u64>,
}

impl KongsOptions {
    fn warn(&self) {
        if self.nginx_conf.is_some() || self.nginx_conf_flags.is_some() {
            print::warning(
                "--nginx-conf and --nginx-conf-flags have no effect: there is no nginx here",
            );
        }
    }
}

/// Starts a node.
pub(crate) fn start(arguments: &StartArgs) -> Result<()> {
    let loaded = arguments.sources.loader().load()?;
    if arguments.background {
        // A process group and session of its own: signals to the terminal that
        // started it are not for it. The process before has left it already.
        if !arguments.handover {
            rustix::process::setsid().context("cannot leave the terminal")?;
        }
        return serve(arguments, loaded, true);
    }
    if arguments.handover {
        return serve(arguments, loaded, false);
    }
    arguments.kongs.warn();
    print::problems(loaded.warnings());
    if arguments.kongs.run_migrations {
        migrations::make_ready(&loaded.settings, arguments.kongs.lock_timeout)?;
    }
    if arguments.foreground || !loaded.settings.node.nginx_daemon.0 {
        serve(arguments, loaded, false)
    } else {
        detach(arguments, &loaded.settings)
    }
}

/// Stops the node of the prefix, if it runs, and starts it; or has it hand over to a new process.
pub(crate) fn restart(arguments: &RestartArgs) -> Result<()> {
    let settings = arguments.start.sources.loader().load()?.settings;
    let pid_file = PidFile::of(&settings.node.prefix);
    if let Some(pid) = pid_file.running()? {
        if arguments.graceful {
            return succeed(&pid_file, pid, &settings, arguments.start.wait);
        }
        stop::stop_node(&pid_file)?;
    }
    start(&arguments.start)
}

/// Has a node hand over to a new process of its program, and waits until that is the node.
fn succeed(pid_file: &PidFile, pid: Pid, settings: &Settings, patience: u64) -> Result<()> {
    let prefix = &settings.node.prefix;
    handover::note_failure(prefix, None);
    let log = Log::of(settings)?;
    pid_file.signal(Signal::USR2)?;
    let deadline = Instant::now() + Duration::from_secs(patience);
    while Instant::now() < deadline {
        match pid_file.running()? {
            Some(now) if now != pid => {
                anstream::println!("Keelgate restarted: process {now} serves, {pid} finishes");
                return Ok(());
            }
            None => bail!("the node ended; its log:\n{}", log.news()),
            Some(_) => {}
        }
        if let Some(failure) = handover::failure(prefix) {
            bail!("process {pid} goes on: {failure}; its log:\n{}", log.news());
        }
        pid_file::pause();
    }
    bail!(
        "no other process is the node after {patience} s; process {pid} goes on, its log:\n{}",
        log.news()
    )
}

/// Runs the node in this process until it ends.
fn serve(arguments: &StartArgs, loaded: Loaded, background: bool) -> Result<()> {
    let prefix = loaded.settings.node.prefix.clone();
    let successor = Successor {
        program: handover::program()?,
        arguments: node_arguments(arguments, background),
    };
    let inheritance = match arguments.handover {
        true => Some(Inheritance::receive()?),
        false => None,
    };
    let claim = match &inheritance {
        Some(inheritance) => {
            inheritance.check(&prefix)?;
            Claim::inherited(inheritance.claim.try_clone()?)
        }
        None => PidFile::of(&prefix).claim()?,
    };
    let log = logging::init(&loaded.settings, background)?;
    for warning in loaded.warnings().filter(|_| background) {
        tracing::warn!("{warning}");
    }
    let place = Place {
        claim,
        prefix,
        inheritance,
        successor,
    };
    let outcome = node::run(loaded.settings, log, place);
    if let Err(error) = &outcome {
        tracing::error!("the node ends: {error:#}");
    }
    outcome
}

/// Starts this program again in the background and waits until it is ready.
fn detach(arguments: &StartArgs, settings: &Settings) -> Result<()> {
    let prefix = &settings.node.prefix;
    if let Some(pid) = PidFile::of(prefix).running()? {
        bail!(
            "Keelgate is already running in {} (process {pid})",
            prefix.display()
        );
    }
    let log = Log::of(settings)?;
    let listener = Listener::bind(prefix)?;
    let mut child = background_command(arguments, &listener.path, &log)?
        .spawn()
        .context("cannot start the node's process")?;
    listener.wait(&mut child, &log, Duration::from_secs(arguments.wait))?;
    anstream::println!(
        "Keelgate started (process {}, log {})",
        child.id(),
        log.path.display()
    );
    Ok(())
}

/// What makes another process of this program the same node.
fn node_arguments(arguments: &StartArgs, background: bool) -> Vec<OsString> {
    let place = if background {
        "--background"
    } else {
        "--foreground"
    };
    let mut same: Vec<OsString> = vec!["start".into(), place.into()];
    if let Some(conf) = &arguments.sources.conf {
        same.extend(["--conf".into(), conf.into()]);
    }
    if let Some(prefix) = &arguments.sources.prefix.prefix {
        same.extend(["--prefix".into(), prefix.into()]);
    }
    same
}

fn background_command(arguments: &StartArgs, socket: &Path, log: &Log) -> Result<Command> {
    let mut command = Command::new(handover::program()?);
    command.args(node_arguments(arguments, true));
    // What does not go through the log, such as a panic, is kept with it.
    let output = OpenOptions::new().append(true).open(&log.path)?;
    command
        .env("NOTIFY_SOCKET", socket)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    Ok(command)
}

/// The log of the node that is being started, from where it stands now.
struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    fn of(settings: &Settings) -> Result<Self> {
        let path = match &settings.log.proxy_error_log {
            LogTarget::File(path) => path.clone(),
            _ => settings.node.prefix.join("logs/error.log"),
        };
        let failed = || format!("cannot write the log {}", path.display());
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(failed)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(failed)?;
        let from = file.metadata().with_context(failed)?.len();
        Ok(Self { path, from })
    }

    /// What the node has logged since.
    fn news(&self) -> String {
        let read = || {
            let mut file = fs::File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.from))?;
            let mut text = String::new();
            file.take(64 * 1024).read_to_string(&mut text).map(|_| text)
        };
        read().unwrap_or_default()
    }
}

/// The socket on which the node says that it is ready.
struct Listener {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Listener {
    fn bind(prefix: &Path) -> Result<Self> {
        /// Longest path that a socket may have, less a little.
        const LONGEST: usize = 100;
        let name = format!("start-{}.sock", std::process::id());
        let mut path = prefix.join("pids").join(&name);
        if path.as_os_str().len() > LONGEST {
            path = std::env::temp_dir().join(format!("keelgate-{name}"));
        }
        let failed = || format!("cannot listen on {}", path.display());
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(failed)?;
        }
        let socket = UnixDatagram::bind(&path).with_context(failed)?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        Ok(Self { socket, path })
    }

    fn wait(&self, child: &mut Child, log: &Log, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let mut text = [0; 1024];
        loop {
            match self.socket.recv(&mut text) {
                Ok(length)
                    if text[..length]
                        .split(|b| *b == b'\n')
                        .any(|l| l == b"READY=1") =>
                {
                    return Ok(());
                }
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error).context("cannot hear from the node's process"),
            }
            if let Some(status) = child.try_wait()? {
                bail!(
                    "the node ended at once ({status}); its log:\n{}",
                    log.news()
                );
            }
            if Instant::now() > deadline {
                bail!(
                    "the node is not ready after {} s; it goes on as process {}, its log:\n{}",
                    patience.as_secs(),
                    child.id(),
                    log.news()
                );
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
