//! What the load program and the criterion benches share: a client that costs little, and content that is
//! new whenever it is asked for.
#![expect(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "for the programs of this package alone"
)]

pub mod content;
pub mod transfer;
pub mod wire;
