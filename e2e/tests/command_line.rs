//! The command line, run as a user does.

use std::process::{Command, Output};

use e2e::{node, ports};

fn keelgate(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(node::binary())
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("run the binary under test")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn check_tells_every_problem_with_its_key() {
    let directory = tempfile::tempdir().expect("make a directory");
    let file = directory.path().join("kong.conf");
    std::fs::write(
        &file,
        "role = data_plain\nproxy_listen = 0.0.0.0:99999\nadmin_lisen = off\n",
    )
    .expect("write");
    let output = keelgate(&["check", file.to_str().expect("UTF-8")], &[]);
    assert!(!output.status.success());
    let said = text(&output);
    for needle in [
        "role",
        "data_plain",
        "data_plane",
        "proxy_listen",
        "99999",
        "admin_lisen",
        "admin_listen",
    ] {
        assert!(said.contains(needle), "no \"{needle}\" in:\n{said}");
    }
}

#[test]
fn a_good_file_passes() {
    let directory = tempfile::tempdir().expect("make a directory");
    let file = directory.path().join("kong.conf");
    std::fs::write(&file, "role = traditional\n# a comment\nlog_level = warn\n").expect("write");
    let output = keelgate(&["check", file.to_str().expect("UTF-8")], &[]);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn gen_cert_overwrites_nothing() {
    let directory = tempfile::tempdir().expect("make a directory");
    let (cert, key) = (
        directory.path().join("c.crt"),
        directory.path().join("c.key"),
    );
    let arguments = [
        "hybrid",
        "gen_cert",
        cert.to_str().expect("UTF-8"),
        key.to_str().expect("UTF-8"),
    ];
    assert!(keelgate(&arguments, &[]).status.success());
    let first = std::fs::read(&key).expect("read the key");
    assert!(!keelgate(&arguments, &[]).status.success());
    assert_eq!(std::fs::read(&key).expect("read the key"), first);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&key)
        .expect("the key exists")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn start_goes_to_the_background_and_stop_ends_it() {
    let directory = tempfile::tempdir().expect("make a directory");
    let prefix = directory.path().to_str().expect("UTF-8");
    let listen = |port: u16| format!("127.0.0.1:{port}");
    let (proxy, admin, status) = (
        listen(ports::free()),
        listen(ports::free()),
        listen(ports::free()),
    );
    let environment = [
        ("KONG_PREFIX", prefix),
        ("KONG_PROXY_LISTEN", &proxy),
        ("KONG_ADMIN_LISTEN", &admin),
        ("KONG_STATUS_LISTEN", &status),
    ];
    assert!(
        !keelgate(&["health"], &environment).status.success(),
        "nothing runs yet"
    );
    let output = keelgate(&["start"], &environment);
    assert!(output.status.success(), "{}", text(&output));
    let health = keelgate(&["health"], &environment);
    let reload = keelgate(&["reload"], &environment);
    let stop = keelgate(&["stop"], &environment);
    assert!(health.status.success(), "{}", text(&health));
    assert!(reload.status.success(), "{}", text(&reload));
    assert!(stop.status.success(), "{}", text(&stop));
    assert!(
        !keelgate(&["health"], &environment).status.success(),
        "it still runs"
    );
}

#[test]
fn the_demo_ends_well_and_tells_a_time_line() {
    let output = keelgate(&["demo"], &[("HOME", "/nonexistent"), ("TMPDIR", "/tmp")]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains('\u{1b}'), "colours in a pipe:\n{said}");
    assert!(said.contains("ms"), "no time line:\n{said}");
}

#[test]
fn export_and_import_round_trip() {
    let directory = tempfile::tempdir().expect("make a directory");
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    let file = directory.path().join("kong.yml");
    std::fs::write(
        &file,
        "_format_version: \"3.0\"\nservices:\n- name: s\n  host: h.test\n  routes:\n  - name: r\n    paths: [/r]\n",
    )
    .expect("write kong.yml");
    let file = file.to_str().expect("UTF-8");
    let prefix = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    assert!(keelgate(&["config", "parse", file], &[]).status.success());
    let output = keelgate(
        &["config", "db_import", file],
        &[("KONG_PREFIX", &prefix(&one))],
    );
    assert!(output.status.success(), "{}", text(&output));
    let first = directory
        .path()
        .join("first.yml")
        .to_str()
        .expect("UTF-8")
        .to_owned();
    let second = directory
        .path()
        .join("second.yml")
        .to_str()
        .expect("UTF-8")
        .to_owned();
    assert!(
        keelgate(
            &["config", "db_export", &first],
            &[("KONG_PREFIX", &prefix(&one))]
        )
        .status
        .success()
    );
    assert!(
        keelgate(
            &["config", "db_import", &first],
            &[("KONG_PREFIX", &prefix(&two))]
        )
        .status
        .success()
    );
    assert!(
        keelgate(
            &["config", "db_export", &second],
            &[("KONG_PREFIX", &prefix(&two))]
        )
        .status
        .success()
    );
    // An import is an update: like Kong, it sets `updated_at` anew, and a
    // second may begin between the two imports. Everything else must stay.
    let read = |path: &str| -> String {
        std::fs::read_to_string(path)
            .expect("read the export")
            .lines()
            .filter(|line| !line.trim_start().starts_with("updated_at:"))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    assert_eq!(read(&first), read(&second));
    assert!(read(&first).contains("h.test"));
}

#[test]
fn the_example_configuration_is_valid_and_overwrites_nothing() {
    let directory = tempfile::tempdir().expect("make a directory");
    let file = directory.path().join("kong.yml");
    let file = file.to_str().expect("UTF-8");
    let output = keelgate(&["config", "init", file], &[]);
    assert!(output.status.success(), "{}", text(&output));
    let output = keelgate(&["config", "parse", file], &[]);
    assert!(output.status.success(), "{}", text(&output));
    let again = keelgate(&["config", "init", file], &[]);
    assert!(!again.status.success() && text(&again).contains("already exists"));
}
