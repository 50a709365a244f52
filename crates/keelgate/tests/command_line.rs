//! The commands, as processes of the built binary.

#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A directory for one node, and commands that know only of it.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn prefix(&self) -> String {
        self.path().join("prefix").display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_keelgate"))
            .args(arguments)
            .env_clear()
            .env("HOME", self.path())
            .env("KONG_PREFIX", self.prefix())
            .current_dir(self.path())
            .output()
            .unwrap()
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = both(&output);
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{text}",
            output.status
        );
        text
    }

    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = both(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}\n{text}");
        text
    }
}

fn both(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn the_version_is_printed_bare_and_with_the_api_level() {
    let place = Place::new();
    assert_eq!(
        place.succeeds(&["version"]).trim(),
        env!("CARGO_PKG_VERSION")
    );
    assert!(
        place
            .succeeds(&["version", "-a"])
            .contains("Kong API: 3.9.1")
    );
}

#[test]
fn check_tells_every_problem_with_its_line_and_how_to_mend_it() {
    let place = Place::new();
    let file = place.write(
        "node.conf",
        "role = data_plane\nlog_levle = debug\nproxy_listen = 8000\n",
    );
    let text = place.fails(&["check", &file]);
    for part in [
        "error: proxy_listen: '8000' does not begin with an address and a port",
        "node.conf:3: proxy_listen = 8000",
        "warning: log_levle",
        "did you mean log_level?",
        "the configuration is not valid",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let file = place.write("good.conf", "mem_cache_size = 64m\n");
    assert!(
        place
            .succeeds(&["check", &file])
            .contains("is valid: 0 errors, 0 warnings, 1 notes")
    );
    assert!(
        place
            .succeeds(&["check", &file, "--v"])
            .contains("note: mem_cache_size")
    );
}

#[test]
fn check_and_start_name_an_option_of_uploads_that_is_unknown() {
    let place = Place::new();
    place.succeeds(&["hybrid", "gen_cert"]);
    let path = |name: &str| place.path().join(name).display().to_string();
    let file = place.write(
        "node.conf",
        &format!(
            "role = data_plane\ncluster_cert = {}\ncluster_cert_key = {}\n\
             proxy_listen = 127.0.0.1:{}\nstatus_listen = off\n\
             cluster_fallback_config_export = on\n\
             cluster_fallback_config_storage = s3://bucket/prefix\n\
             cluster_fallback_export_s3_config = {{\"ServerSideEncyption\": \"s3cret\"}}\n",
            path("cluster.crt"),
            path("cluster.key"),
            free_port(),
        ),
    );
    for command in [
        &["check", &file][..],
        &["start", "--foreground", "-c", &file],
    ] {
        let text = place.fails(command);
        for part in [
            "cluster_fallback_export_s3_config",
            "`ServerSideEncyption`",
            "`ServerSideEncryption`?",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn output_that_is_no_terminal_has_no_colours() {
    let place = Place::new();
    let file = place.write("node.conf", "log_level = loud\n");
    assert!(!place.fails(&["check", &file]).contains('\x1b'));
}

#[test]
fn gen_cert_makes_a_pair_once() {
    let place = Place::new();
    place.succeeds(&["hybrid", "gen_cert"]);
    assert!(place.path().join("cluster.crt").exists() && place.path().join("cluster.key").exists());
    assert!(
        place
            .fails(&["hybrid", "gen_cert"])
            .contains("Will not overwrite it.")
    );
    let usage = place.run(&["hybrid", "gen_cert", "only.crt"]);
    assert_eq!(usage.status.code(), Some(2));
    place.succeeds(&["hybrid", "gen_cert", "a.crt", "a.key", "-d", "1"]);
}

#[test]
fn commands_for_a_running_node_fail_without_one() {
    let place = Place::new();
    assert!(place.fails(&["health"]).contains("no such prefix"));
    for command in ["stop", "quit", "reload"] {
        assert!(
            place.fails(&[command]).contains("no node runs"),
            "{command}"
        );
    }
}

#[test]
fn check_and_start_name_a_plugin_that_the_build_does_not_have() {
    let place = Place::new();
    let file = place.write("kong.conf", "database = off\nplugins = bundled,nope,cors\n");
    for arguments in [
        vec!["check", &file],
        vec!["start", "--foreground", "-c", &file],
    ] {
        let said = place.fails(&arguments);
        assert!(said.contains("this build has no nope;"), "{said}");
    }
}

#[test]
fn a_declarative_file_is_checked() {
    let place = Place::new();
    let good = place.write(
        "good.yml",
        "_format_version: '3.0'\nservices:\n- name: a\n  url: http://a.test\n",
    );
    assert!(
        place
            .succeeds(&["config", "parse", &good])
            .contains("parse successful")
    );
    let bad = place.write(
        "bad.yml",
        "_format_version: '3.0'\nservices:\n- name: a\n  port: -1\n",
    );
    assert!(
        place
            .fails(&["config", "parse", &bad])
            .contains("Failed parsing")
    );
}

#[test]
fn a_configuration_goes_into_the_database_and_out_again() {
    let place = Place::new();
    let file = place.write(
        "in.yml",
        "_format_version: '3.0'\nservices:\n- name: a\n  url: http://a.test\n  routes:\n  - name: r\n    paths: [/r]\n",
    );
    assert!(
        place
            .succeeds(&["config", "db_import", &file])
            .contains("import successful")
    );
    place.succeeds(&["config", "db_export", "out.yml"]);
    let out = std::fs::read_to_string(place.path().join("out.yml")).unwrap();
    assert!(out.contains("a.test") && out.contains("/r"), "{out}");
    assert!(
        place
            .fails(&["config", "db_export", "out.yml"])
            .contains("Will not overwrite it.")
    );
    place.succeeds(&["config", "parse", "out.yml"]);
}

#[test]
fn a_node_starts_in_the_background_and_obeys() {
    let place = Place::new();
    let (proxy, admin) = (free_port(), free_port());
    let conf = place.write(
        "node.conf",
        &format!(
            "database = off\nnginx_worker_processes = 1\nproxy_listen = 127.0.0.1:{proxy}\n\
             admin_listen = 127.0.0.1:{admin}\nadmin_gui_listen = off\nstatus_listen = off\n"
        ),
    );
    assert!(
        place
            .succeeds(&["start", "-c", &conf])
            .contains("Keelgate started")
    );
    let node = Running(&place);
    assert!(place.succeeds(&["health"]).contains("Keelgate is healthy"));
    assert!(
        place
            .fails(&["start", "-c", &conf])
            .contains("already running")
    );

    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy)).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    drop(client);

    place.succeeds(&["reload", "-c", &conf]);
    assert!(place.succeeds(&["health"]).contains("Keelgate is healthy"));
    place.succeeds(&["restart", "-c", &conf]);
    assert!(place.succeeds(&["quit"]).contains("gracefully"));
    drop(node);
    place.fails(&["health"]);
}

#[test]
fn a_node_that_cannot_start_says_why() {
    let place = Place::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let conf = place.write(
        "node.conf",
        &format!("database = off\nproxy_listen = off\nadmin_gui_listen = off\nstatus_listen = off\nadmin_listen = 127.0.0.1:{port}\n"),
    );
    let text = place.fails(&["start", "-c", &conf]);
    assert!(
        text.contains("the node ended at once") && text.contains(&port.to_string()),
        "{text}"
    );
}

/// Stops the node when a test fails before it does.
struct Running<'a>(&'a Place);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.0.run(&["stop"]);
    }
}
