//! The reference server.
use quay_core::auth::AllowAll;
use std::sync::Arc;
#[allow(warnings)]
#[tokio::main]
async fn main() {
    let spawner = quay_http::TokioSpawner::current();
    let runtime = quay_http::tokio_runtime(spawner.clone());
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let blobs = quay_storage::LocalBlobs::open(dir.join("storage"), runtime.spawner.clone())
        .await
        .unwrap();
    let md = quay_storage::SqlMetadata::open_sqlite(&dir.join("quay.db"), &*spawner.uncounted())
        .await
        .unwrap();
    let registry = quay_core::Registry::new(Arc::new(md), Arc::new(blobs), Arc::new(AllowAll), runtime);
    let listener = tokio::net::TcpListener::bind(std::env::args().nth(2).unwrap())
        .await
        .unwrap();
    let service = quay_http::RegistryService::new(registry, quay_http::Settings::default());
    quay_http::Server::new()
        .serve(listener, service, std::future::pending())
        .await;
}
