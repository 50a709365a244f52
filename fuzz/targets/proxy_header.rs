#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| keelgate_proxy::fuzzing::proxy_header(bytes));
