//! The load program will live here; it does nothing yet.
fn main() {}
