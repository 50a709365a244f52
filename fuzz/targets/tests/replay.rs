//! Every target is run with its seeds, and with some thousand changes of them, always the same ones.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fastrand::Rng;
use keelgate_fuzz_targets::{TARGETS, run};

/// Changed inputs of each target: as many as take seconds in all.
const CHANGED: usize = 4000;

/// As long as an input may grow.
const MOST: usize = 4096;

/// Bytes that parsers take note of.
const TOKENS: [&[u8]; 32] = [
    b"\0",
    b"\n",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b"=",
    b".",
    b",",
    b";",
    b"\"",
    b"/",
    b"/../",
    b"%2f",
    b"%",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"$(",
    b")",
    b"-1",
    b"0",
    b"18446744073709551616",
    b"null",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x82",
    b"chunked",
];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = fuzz().join("seeds").join(target);
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|file| fs::read(file).unwrap())
        .collect()
}

/// One of the changes that fuzzers make.
fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Rng) {
    let at = random.usize(..=input.len());
    let end = random.usize(at..=input.len().min(at + 64));
    match random.u8(..8) {
        0 | 1 if at < input.len() => input[at] ^= 1 << random.u8(..8),
        2 if at < input.len() => input[at] = random.u8(..),
        3 => drop(input.drain(at..end)),
        4 => input.truncate(at),
        5 => {
            let piece = input[at..end].to_vec();
            let place = random.usize(..=input.len());
            input.splice(place..place, piece);
        }
        6 => {
            let other = random.choice(seeds).map_or(&[][..], Vec::as_slice);
            let from = random.usize(..=other.len());
            input.splice(at.., other[from..].iter().copied());
        }
        _ => {
            let token = random.choice(TOKENS).unwrap_or_default();
            input.splice(at..at, token.iter().copied());
        }
    }
    input.truncate(MOST);
}

fn tried(target: &str, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(target, input))) {
        let why = panic.downcast_ref::<String>().map(String::as_str);
        let why = why
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or_default();
        panic!("{target} fails on b\"{}\": {why}", input.escape_ascii());
    }
}

fn replay(target: &str) {
    let seeds = seeds(target);
    assert!(!seeds.is_empty());
    tried(target, b"");
    for seed in &seeds {
        tried(target, seed);
    }
    let mut random = Rng::with_seed(7);
    for _ in 0..CHANGED {
        let mut input = random.choice(&seeds).unwrap().clone();
        for _ in 0..random.usize(1..6) {
            change(&mut input, &seeds, &mut random);
        }
        tried(target, &input);
    }
}

macro_rules! replays {
    ($($target:ident)*) => {
        $(#[test] fn $target() { replay(stringify!($target)); })*

        #[test]
        fn every_target_is_replayed_and_has_a_program() {
            let targets: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(targets, [$(stringify!($target)),*]);
            let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
            assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
            for target in targets {
                let program = format!("name = \"{target}\"\npath = \"bin/{target}.rs\"\n");
                assert!(manifest.contains(&program), "{target}");
                let text = fs::read_to_string(fuzz().join(format!("bin/{target}.rs"))).unwrap();
                assert_eq!(text, format!(
                    "#![no_main]\n\nlibfuzzer_sys::fuzz_target!(|bytes: &[u8]| keelgate_fuzz_targets::run(\"{target}\", bytes));\n"
                ));
            }
        }
    };
}

replays! {
    accepted_form basic_auth basic_info chunked conf_file declarative grpc_web history_name hmac_auth jwt location
    log_format oauth2 path proxy_header real_ip request_head response_head router session snapshot_document
    snapshot_sealed snapshot_statement template trace_headers trailers
}
