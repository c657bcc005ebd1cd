//! Release chores: `cargo xtask COMMAND`.
fn main() {}
