//! Every port in memory: for tests, for registries that need not outlive their process, and as the
//! shortest reading of what the ports mean.

mod blobs;
mod garbage;
mod lifecycle;
mod metadata;
mod past;
mod quota;
mod scan;
mod unit;

pub use blobs::MemoryBlobs;
pub use metadata::MemoryMetadata;
pub use scan::MemoryScanner;
