#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &[u8]| keelgate_sync::fuzzing::basic_info(message));
