//! The `keelgate` binary: the command line and the composition of the roles.

fn main() {}
