#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| keelgate_settings::fuzzing::conf_file(text));
