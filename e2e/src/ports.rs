//! Free ports of the loopback interface.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the kernel's ephemeral range, so that no outgoing connection takes a port between its
/// choice here and the moment the process under test binds it.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// A port that nothing listens on. Never the same twice in one process; processes that run side by
/// side start at different places.
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = RANGE.end - RANGE.start;
    let start = (std::process::id().wrapping_mul(997) % u32::from(span)) as u16;
    for _ in 0..span {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % span;
        let port = RANGE.start + (start + step) % span;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free between {} and {}", RANGE.start, RANGE.end);
}
