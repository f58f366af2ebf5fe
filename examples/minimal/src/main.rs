//! A registry in memory: everything that is pushed is forgotten at the end.
//!
//!     cargo run -p minimal
//!     skopeo copy --dest-tls-verify=false oci:image:tag docker://127.0.0.1:5000/org/app:tag

use std::sync::Arc;

use quay_core::Registry;
use quay_core::auth::AllowAll;
use quay_core::memory::{MemoryBlobs, MemoryMetadata};
use quay_http::{RegistryService, Server, Settings, TokioSpawner, tokio_runtime};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let registry = Registry::new(
        Arc::new(MemoryMetadata::new()),
        Arc::new(MemoryBlobs::new()),
        Arc::new(AllowAll),
        tokio_runtime(TokioSpawner::current()),
    );
    let service = RegistryService::new(registry, Settings::default());
    let listener = std::net::TcpListener::bind("127.0.0.1:5000")?;
    Server::new()
        .serve(listener, service, std::future::pending())
        .await
}
