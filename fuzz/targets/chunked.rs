#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    keelgate_proxy::fuzzing::chunked(bytes, cut.into());
});
