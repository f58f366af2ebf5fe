//! Every port in memory: for tests, for registries that need not outlive their process, and as the
//! shortest reading of what the ports mean.

mod blobs;
mod garbage;
mod lifecycle;
mod metadata;
mod quota;
mod unit;

pub use blobs::MemoryBlobs;
pub use metadata::MemoryMetadata;
