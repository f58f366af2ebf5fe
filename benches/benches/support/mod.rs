//! A registry on its embedded default in this process, behind a real socket.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::disallowed_methods,
    reason = "each bench uses a part of it; a server of its own"
)]

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use benches::content::{CONTENT_TYPE, Image};
use benches::wire::Connection;
use quay_core::Registry;
use quay_core::auth::AllowAll;
use quay_http::{RegistryService, Server, Settings, TokioSpawner, tokio_runtime};
use quay_storage::{LocalBlobs, SqlMetadata};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const NAME: &str = "bench/app";

/// Serves until it is dropped; its data go with it.
pub(crate) struct Harness {
    pub(crate) address: SocketAddr,
    pub(crate) registry: Registry,
    server: tokio::task::JoinHandle<()>,
    _data: TempDir,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        let data = TempDir::new().unwrap();
        let spawner = TokioSpawner::current();
        let metadata = SqlMetadata::open_sqlite(&data.path().join("quay.db"), &*spawner.uncounted())
            .await
            .unwrap();
        let blobs = LocalBlobs::open(data.path().join("storage"), Arc::new(spawner.clone()))
            .await
            .unwrap();
        let registry = Registry::new(
            Arc::new(metadata),
            Arc::new(blobs),
            Arc::new(AllowAll),
            tokio_runtime(spawner),
        );
        let service = RegistryService::new(registry.clone(), Settings::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::task::spawn(async move {
            Server::new()
                .serve(listener, service, std::future::pending())
                .await
                .unwrap();
        });
        Self {
            address,
            registry,
            server,
            _data: data,
        }
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await.unwrap()
    }

    /// Pushes an image under the tag `latest`.
    pub(crate) async fn push(&self, image: &Image) {
        let mut connection = self.connect().await;
        for (digest, content) in &image.blobs {
            let path = format!("/v2/{NAME}/blobs/uploads/?digest={digest}");
            connection.ask("POST", &path, "", content, &[201]).await.unwrap();
        }
        let path = format!("/v2/{NAME}/manifests/latest");
        connection
            .ask("PUT", &path, CONTENT_TYPE, &image.manifest, &[201])
            .await
            .unwrap();
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}
