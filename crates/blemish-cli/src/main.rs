//! The `blemish` program.
fn main() {}
