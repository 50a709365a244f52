#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keelgate_fuzz_targets::run("real_ip", bytes));
