//! Runs Keelgate and its peers side by side and prints ratios.

fn main() {}
